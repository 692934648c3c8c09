import { connect } from '@oskadev/mailroom/client'

const gateway = new URLSearchParams(location.search).get('gateway') ?? 'http://127.0.0.1:8080'
const show = (id, text) => (document.getElementById(id).textContent = text)
const report = (error) => show('problem', `${error.code ?? error.name}: ${error.message}`)

const socket = connect(gateway, {
  onConnect: () => show('connection', `connected to ${gateway}`),
  onDisconnect: ({ reason, retryIn }) =>
    show('connection', retryIn === undefined ? `closed: ${reason}` : `${reason}; connecting again in ${retryIn} ms`),
})

// A read that was overtaken by a later one shows nothing.
let reads = 0
async function read() {
  const current = ++reads
  const { runs } = await socket.request('echo', 'CACHED', 1)
  if (current === reads) show('runs', runs)
}

try {
  show('record', JSON.stringify(await socket.request('echo', 'GET_ECHO', 1)))
  // Subscribe first, then read: a change between the two is an event.
  await socket.subscribe('echo:1', { service: 'echo', onError: report }, () => read().catch(report)).ready
  await read()
  const touch = document.getElementById('touch')
  touch.onclick = () => socket.request('echo', 'TOUCH', 1).catch(report)
  touch.disabled = false
} catch (error) {
  report(error)
}
