import { NotFound, object, serve, service, string } from '@oskadev/mailroom'

const greetings = new Map([['en', 'Hello']])
const greet = service('greet', { version: '1.0.0' })
greet.get('GREET', '/greet/:language/:name', (ctx, language, name) => {
  if (!greetings.has(language)) throw NotFound(`no greeting in ${language}`)
  return { text: `${greetings.get(language)}, ${name}!` }
})
greet.put('SET_GREETING', '/greet/:language', { body: object({ text: string() }) }, (ctx, language, { text }) => {
  greetings.set(language, text)
})
await serve(greet)
