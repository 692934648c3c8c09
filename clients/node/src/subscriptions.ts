import type { MailroomError } from './errors.js'

export interface SubscribeOptions {
  /** The service of a cache tag. Leave it out for a ticket. */
  service?: string
  /** Called if the gateway refuses the subscription for good. */
  onError?: (error: MailroomError) => void
}

/** Something happened to the topic of a subscription. */
export interface TopicEvent {
  /** The tag or the ticket. */
  event: string
  service?: string
  /** Of a tag: the position of the event. */
  at?: string
  /** Of a ticket: the state of the request, `{state, …}`. The subscription ends with its last one. */
  data?: any
  /** Of a ticket: a report of its handler. */
  progress?: any
  /** False: events may be missing because the connection was away. Read the data again. */
  recovered: boolean
}

export interface Subscription {
  /** Resolves when the gateway has accepted the subscription; rejects if it refuses it. */
  readonly ready: Promise<void>
  close(): void
}

interface Listener {
  onEvent: (event: TopicEvent) => void
  onError: ((error: MailroomError) => void) | undefined
  resolve: () => void
  reject: (error: unknown) => void
}

interface Topic {
  readonly key: string
  readonly topic: string
  readonly service: string | undefined
  readonly listeners: Set<Listener>
  /** The id of the subscription; undefined: it was lost with its connection. */
  id: number | undefined
  /** The gateway has accepted the subscription on this connection. */
  active: boolean
  /** The gateway has accepted it before: it does not end by an error that will pass. */
  accepted: boolean
  /** How often in a row the gateway has refused it since. */
  failures: number
  /** Ends when it is tried again. */
  retry: ReturnType<typeof setTimeout> | undefined
  /** The position of the last event. */
  after: string | undefined
}

interface Requests {
  /** Sends a request, again on a new connection until it is answered. Returns its id. */
  request(frame: object, settle: (error: unknown, frame?: any) => void): number
  /** Sends a frame that has no answer. */
  send(frame: object): void
  /** Returns the pause before another attempt after so many failures, in ms. */
  pause(failures: number, atLeast?: number): number
}

/** The subscriptions of a client. Listeners of one topic share a subscription. */
export class Subscriptions {
  #topics = new Map<string, Topic>()

  constructor(readonly requests: Requests) {}

  add(name: string, options: SubscribeOptions, onEvent: (event: TopicEvent) => void): Subscription {
    if (typeof onEvent !== 'function') throw new TypeError('subscribe: the last argument has to be a function')
    const listener: Listener = { onEvent, onError: options.onError, resolve: () => {}, reject: () => {} }
    const ready = new Promise<void>((resolve, reject) => {
      listener.resolve = resolve
      listener.reject = reject
    })
    ready.catch(() => {}) // without this, Node ends if nobody waits for it
    const key = keyOf(name, options.service)
    let topic = this.#topics.get(key)
    if (topic?.active) listener.resolve()
    if (topic) {
      topic.listeners.add(listener)
    } else {
      topic = {
        key, topic: name, service: options.service, listeners: new Set([listener]),
        id: undefined, active: false, accepted: false, failures: 0, retry: undefined, after: undefined,
      }
      this.#topics.set(key, topic)
      this.#subscribe(topic)
    }
    const added = topic
    return { ready, close: () => this.#remove(added, listener) }
  }

  event(frame: TopicEvent): void {
    const topic = this.#topics.get(keyOf(frame.event, frame.service)) ?? this.#topics.get(keyOf(frame.event, undefined))
    if (!topic) return
    topic.after = frame.at ?? topic.after
    if (topic.service === undefined && lastStates.has(frame.data?.state)) this.#topics.delete(topic.key) // it ends with the request
    this.#emit(topic, { ...frame, recovered: true })
  }

  /** The connection ended. */
  suspend(): void {
    for (const topic of this.#topics.values()) {
      if (topic.active) topic.id = undefined
      topic.active = false
    }
  }

  /** Subscribes again on a new connection. */
  resume(): void {
    for (const topic of this.#topics.values()) if (topic.id === undefined) this.#subscribe(topic)
  }

  /** Ends all subscriptions. */
  fail(error: MailroomError): void {
    for (const topic of this.#topics.values()) this.#end(topic, error)
  }

  #subscribe(topic: Topic): void {
    const { after } = topic
    clearTimeout(topic.retry)
    topic.id = 0 // requested; the id follows
    const id = this.requests.request({ subscribe: topic.topic, service: topic.service, after }, (error, frame) => {
      if (error) return this.#refused(topic, error as MailroomError)
      if (topic.listeners.size === 0) return this.requests.send({ id: topic.id, unsubscribe: true })
      topic.active = topic.accepted = true
      topic.failures = 0
      topic.after = frame.at ?? topic.after
      for (const listener of topic.listeners) listener.resolve()
      if (after !== undefined && frame.recovered === false) {
        this.#emit(topic, { event: topic.topic, service: topic.service, at: frame.at, recovered: false })
      }
    })
    if (topic.id === 0) topic.id = id
  }

  /** Tries again what was accepted before, except after an error that stays. */
  #refused(topic: Topic, error: MailroomError): void {
    if (!topic.accepted || topic.listeners.size === 0 || lasting.has(error.status)) return this.#end(topic, error)
    topic.id = undefined
    topic.retry = setTimeout(() => {
      if (topic.id === undefined) this.#subscribe(topic)
    }, this.requests.pause(topic.failures++, error.retryAfter))
  }

  #remove(topic: Topic, listener: Listener): void {
    if (!topic.listeners.delete(listener) || topic.listeners.size > 0) return
    clearTimeout(topic.retry)
    if (!this.#topics.delete(topic.key)) return
    // One that is not answered yet is ended when its answer arrives.
    if (topic.active) this.requests.send({ id: topic.id, unsubscribe: true })
  }

  #end(topic: Topic, error: MailroomError): void {
    clearTimeout(topic.retry)
    if (this.#topics.get(topic.key) === topic) this.#topics.delete(topic.key)
    const listeners = Array.from(topic.listeners)
    topic.listeners.clear()
    for (const listener of listeners) {
      listener.reject(error)
      listener.onError?.(error)
    }
  }

  #emit(topic: Topic, event: TopicEvent): void {
    for (const listener of Array.from(topic.listeners)) listener.onEvent(event)
  }
}

/** The statuses of errors that another attempt gets again. */
const lasting = new Set([400, 401, 403, 404])

/** The states after which a request does not change. */
const lastStates = new Set(['done', 'dead', 'expired', 'cancelled'])

/** A tag has a service; the name of a ticket begins with its service. */
const keyOf = (topic: string, service: string | undefined) => `${service ?? ''} ${topic}`
