// A stage for the client: WebSockets and fetch that a test plays, and clocks
// that stand until it moves them.
import assert from "node:assert/strict"
import { mock } from "node:test"
import "../majority.js" // so that it is there at once
import { connect } from "../vera.js"

const told = { session: "me", resumed: false, graceMs: 3000, heartbeatMs: 10000, safeMs: 3000, peer: "a", leader: "a", index: 10, items: [], watches: [] }

// settle lets everything happen that needs no time.
export async function settle() {
  for (let n = 0; n < 6; n++) await new Promise(resolve => setImmediate(resolve))
}

class Socket {
  sent = [] // without an answer yet
  constructor(url, options) {
    const { origin, searchParams } = new URL(url)
    Object.assign(this, { origin, options, query: Object.fromEntries(searchParams) })
  }
  send(text) { this.sent.push(JSON.parse(text)) }
  close(code) { this.closed ??= code }
  // asked takes the first request of an action, about a path if one is given.
  asked(action, path) {
    const at = this.sent.findIndex(m => m.action === action && (!path || m.path === path))
    assert.notEqual(at, -1, `no ${action} ${path ?? ""} in ${JSON.stringify(this.sent)}`)
    return this.sent.splice(at, 1)[0]
  }
  silent(action, path) { assert.ok(!this.sent.some(m => m.action === action && (!path || m.path === path)), `${action} ${path ?? ""} was asked for`) }
  say(message) { this.onmessage?.({ data: JSON.stringify(message) }) }
  // answer answers the first request of an action.
  answer(action, answer, path) {
    const request = this.asked(action, path)
    this.say({ rid: request.rid, code: "OK", ...answer })
    return request
  }
  notify(path, index, change) { this.say({ action: "notify", path, index, etag: String(index), added: [], updated: [], removed: [], ...change }) }
  // lost is the end as the client sees it.
  async lost(code = 1006) {
    this.onclose?.({ code })
    await settle()
  }
  // open lets the client in.
  async open(session) {
    this.onopen()
    assert.deepEqual(this.sent.map(m => m.action), ["session"], "session is asked for before anything else")
    this.answer("session", { ...told, ...session })
    await settle()
    return this
  }
}

export class Stage {
  sockets = []
  fetched = []
  refusal // what GET /session answers instead
  wall = 0 // ms that the wall clock was set forward
  steady = 0 // the same for performance.now()

  constructor(t) {
    mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1e12 })
    const date = Date.now
    mock.method(performance, "now", () => date() - 1e12 + this.steady)
    mock.method(Date, "now", () => date() + this.wall)
    t.after(() => {
      for (const client of this.clients) client._shut()
      mock.timers.reset()
      mock.restoreAll()
    })
  }
  clients = []
  async connect(urls = "http://a.example", options = {}) {
    const stage = this
    class WebSocket extends Socket {
      constructor(...args) {
        super(...args)
        stage.sockets.push(this)
      }
    }
    const fetch = async (url, init) => {
      this.fetched.push({ url, ...init })
      if (this.refusal) return this.refusal()
      return new Response(JSON.stringify({ code: "OK" }), { headers: { "Set-Cookie": "vera-12345678=secret; Path=/" } })
    }
    const client = connect(urls, { WebSocket, fetch, connections: "one", ...options })
    this.clients.push(client)
    client.log = []
    for (const event of ["state", "session"]) client.on(event, told => client.log.push([event, told.state ?? told.resumed]))
    await settle()
    return client
  }
  get last() { return this.sockets.at(-1) }
  // joined is a client with one open connection.
  async joined(options, session) {
    const client = await this.connect("http://a.example", options)
    await this.last.open(session)
    return [client, this.last]
  }
  // pass lets time pass, in steps in which what is due happens.
  async pass(ms, step = ms > 2000 ? 250 : 50) {
    for (; ms > 0; ms -= step) {
      mock.timers.tick(Math.min(step, ms))
      await settle()
    }
  }
  // freeze is what a stopped process sees: the clocks have gone on, and timers
  // ring late. With sleep, performance.now() stood still too.
  freeze(ms, sleep) {
    this.wall += ms
    if (!sleep) this.steady += ms
  }
}

export const item = (version, more) => ({ version, owner: "1.2.3.4", session: "you", data: { n: version }, ...more })

// failure returns what a promise fails with.
export const failure = promise => promise.then(value => assert.fail("no failure but " + JSON.stringify(value)), error => error)
