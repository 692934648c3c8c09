// The worker of bench/languages.sh: GET /SERVICE/:id, with the result of GET /echo/:id.
import { int, serve, service } from '../clients/node/dist/index.js'

const name = process.argv[2]
const echo = service(name, { version: '1.0.0' })
echo.get('GET_ECHO', `/${name}/:id`, { params: { id: int() } }, (ctx, id) => ({ id, name: 'Oska', email: 'oska@example.com' }))
await serve(echo)
