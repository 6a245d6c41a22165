// Vera's client: one session, kept over connections that come and go.
// Names with _ in front are this library's own. See README.md.

const idle = 25_000 // ms of silence until a ping; proxies cut at 60 s, which it must not divide
const patience = 10_000 // ms for a ping's answer, and the most between two tries to connect
const hurry = 2_000 // ms for the same when in doubt
const most = 256 // changes under way at once
const peers = "/vera/peers"

const random = () => crypto.getRandomValues(new Uint32Array(4)).join(".")

// All tabs share one cookie; labels tell them apart. A tab's are out of its
// sessionStorage while its page lives: a duplicated tab copies that, and must
// not be the same. They are back for a reload.
let labels, labelled = 0
const label = () => {
  try {
    if (!labels) {
      const take = () => delete sessionStorage.vera
      labels = JSON.parse(sessionStorage.vera ?? "[]")
      take()
      addEventListener("pageshow", take)
      addEventListener("pagehide", () => sessionStorage.vera = JSON.stringify(labels))
    }
  } catch {} // no storage here
  labels ??= []
  return labels[labelled++] ??= random()
}

export class VeraError extends Error {
  constructor(code, message, more) {
    super(message)
    Object.assign(this, { name: "VeraError", code }, more)
  }
}

const over = applied => new VeraError("SessionEnded", "the session ended", { applied })

// Two clocks: performance.now() may stand still in sleep, Date.now() may be set.
// The larger difference counts, so a clock that is set only makes time longer.
const now = () => [performance.now(), Date.now()]
const since = ([steady, wall]) => Math.max(performance.now() - steady, Date.now() - wall)

const backoff = failures => Math.random() * Math.min(patience, 100 * 2 ** failures)
const aborts = (signal, then) => signal?.aborted ? then() : signal?.addEventListener("abort", then)
// call keeps what a listener throws from harming others.
const call = (listener, told) => {
  try {
    listener(told)
  } catch (error) {
    queueMicrotask(() => { throw error })
  }
}

class Events {
  _on = {}
  on(event, listener) {
    (this._on[event] ??= new Set()).add(listener)
    return () => this._on[event].delete(listener)
  }
  _emit(event, told) {
    for (const listener of [...this._on[event] ?? []]) call(listener, told)
  }
}

// connect opens a session. It returns at once: see vera.d.ts.
export const connect = (urls, options) => new Client(urls, options)

// Connection is one WebSocket, from the first try until it is over.
class Connection {
  rid = 0
  waiting = new Map() // rid → what to do with the answer
  constructor(client, url, quiet) {
    Object.assign(this, { client, url, quiet, number: ++client._opened, logged: client._logged })
    client._connections.add(this)
    this.timer = setTimeout(() => this.over(), Math.min(patience, hurry * (1 + client._failures)))
    this.open().catch(error => this.over(0, error))
  }
  async open() {
    const { client, url } = this
    await client._greet(url)
    if (this.dead) return
    const socket = this.socket = client._dial(url.replace("http", "ws") + "/connect?" + client._query(this.quiet))
    socket.onopen = () => this.ask({ action: "session" }, told => client._joined(this, told))
    socket.onmessage = event => this.hear(JSON.parse(event.data))
    socket.onclose = event => this.over(event.code)
    socket.onerror = () => {} // a close follows
  }
  // ask calls then with the answer, whatever its code, and when there will be none.
  ask(message, then) {
    const text = typeof message === "string" ? message : JSON.stringify(message)
    this.waiting.set(++this.rid, then)
    this.socket.send(`{"rid":${this.rid},` + text.slice(1))
  }
  hear(message) {
    const { client, waiting } = this, { rid, action, path, index } = message
    if (this.joined && !client._elections.size) this.arm(idle)
    if (action === "notify") return client._lists.get(path)?.take(this, message)
    if (action === "state") {
      this.suspended = message.state === "suspended"
      return client._changed()
    }
    const then = waiting.get(rid)
    waiting.delete(rid)
    if (index > client._index) client._index = index
    then?.(message)
  }
  // ping asks for a sign of life. Without one in ms the connection is given up.
  ping(ms) {
    if (!this.joined) return
    const { client } = this, { _elections: elections } = client, sent = now()
    this.ask({ action: "ping" }, told => {
      if (told.code !== "OK") return
      client._safe(told.safeMs)
      for (const election of elections) election._covered(sent, told)
      if (elections.size) this.arm(Math.max(0, client._safeMs / 3 - since(sent)))
    })
    this.arm(ms ?? (elections.size ? client._safeMs : patience), true)
  }
  // arm sets the timer, from a message as a rule: those set by timers are slow in
  // hidden tabs. One that rings much too late has slept, and what was sent
  // meanwhile is not read yet: the connection gets a last chance.
  arm(ms, last) {
    const armed = now()
    clearTimeout(this.timer)
    this.timer = setTimeout(() => {
      const slept = ms !== hurry && since(armed) > ms + 1000
      if (last && !slept) this.over()
      else this.ping(slept ? hurry : undefined)
    }, ms)
  }
  // drop forgets the connection. Only 1000 can end the session.
  drop(code = 3001) {
    const { client, socket, timer } = this
    this.dead = true
    clearTimeout(timer)
    client._connections.delete(this)
    if (client._ears === this) client._ears = undefined
    if (!socket) return
    socket.onopen = socket.onmessage = socket.onclose = null
    if (code > 1000 && socket.terminate) socket.terminate()
    else socket.close(code)
  }
  over(code, error, closing) {
    if (this.dead) return
    const { client, waiting } = this
    this.drop(closing)
    if (code === 1009) client._tooLarge(this)
    for (const then of waiting.values()) then({ lost: true })
    client._lost(this, code, error)
  }
}

class Client extends Events {
  state = "connecting"
  leader = ""
  graceMs = 0
  _connections = new Set() // tried or open
  _ears // the connection that has notifications
  _items = new Map() // version → Item that is held
  _lists = new Map() // path → List that is watched
  _elections = new Set()
  _requests = [] // of the caller, without an answer yet, in their order
  _names = new Map() // url → peer that was found there
  _failing = new Set() // urls, at the last try
  _peers = [] // items of /vera/peers
  _opened = 0
  _failures = 0 // to connect, in a row
  _index = 0 // the highest of all answers
  _logged // the log has the session: who connects from now on must find it
  _closing = new AbortController()

  constructor(urls, options = {}) {
    super()
    const node = globalThis.process?.versions && !globalThis.document
    const { connections = node ? "majority" : "one", cookie, label: named = node ? "" : label(), signal } = options
    const own = import.meta.url.startsWith("http") ? import.meta.url : globalThis.location?.href
    this._given = [urls ?? new URL(own).origin].flat().map(url => url.replace(/^ws/, "http").replace(/\/$/, ""))
    this._urls = [...this._given].sort(() => Math.random() - 0.5)
    this.ready = new Promise((resolve, reject) => Object.assign(this, { _options: options, _label: named, cookie, _resolve: resolve, _reject: reject }))
    this.ready.catch(() => {}) // the event "state" tells it too
    this._safe(0)
    const wake = ({ type, persisted }) => {
      // A page that is kept to go back to is kept with its connections, by Chromium:
      // for minutes nobody would be there. They end, until it is shown again.
      if (type !== "pagehide") globalThis.document?.hidden || this._wake()
      else if (persisted) for (const connection of this._connections) connection.over()
    }
    for (const event of ["online", "pagehide", "pageshow", "visibilitychange"]) globalThis.addEventListener?.(event, wake, this._closing)
    this._many = connections === "majority"
    if (node || urls || this._many) this._learn()
    this._plan()
    aborts(signal, () => this.close())
  }
  get peer() { return this._ears?.peer }
  on(event, listener) {
    if (event === "peers") this._learn()
    return super.on(event, listener)
  }

  push(path, data, { once = random(), limit, ifMatch, signal } = {}) {
    return this._ask({ action: "push", path, data, once, limit, ifMatch }, signal, told => {
      const item = new Item(this, path, told.version, data, told)
      this._items.set(item.version, item)
      this._logged = true
      return item
    })
  }
  get(path, { limit, consistent, minIndex = this._index, signal } = {}) {
    return this._ask({ action: "get", path, limit, consistent, minIndex }, signal)
  }
  watch(path, options, listener) {
    return options?.call ? this.watch(path, {}, options) : new Watch(this, path, options, listener)
  }
  elect(path, data, options) { return new Election(this, path, data, options) }

  async close() {
    const open = this._open()
    this._shut()
    if (open.length) await new Promise(resolve => {
      open[0].ask({ action: "close" }, resolve)
      open[0].arm(hurry, true)
    })
    for (const connection of open) connection.drop(1000)
  }

  // _ask gives a request to whoever can answer it, again and again if need be.
  // made turns the answer to a change into what the caller gets.
  _ask(message, signal, made, item) {
    const { path, action, ifMatch } = message, merges = action === "update" && !ifMatch && item
    const older = merges && this._requests.find(r => r.merges === item && !r.sent)
    const done = new Promise((resolve, reject) => {
      const request = { text: JSON.stringify(message), sent: 0, resolve, reject, made, item, merges, signal }
      if (this.state === "closed") return reject(this._why)
      this._requests.push(request)
      aborts(signal, request.abort = () => {
        reject(signal.reason)
        if (action === "push" && request.sent) request.made = ({ version }) => new Item(this, path, version).remove().catch(() => {}) // not wanted any more
        else this._forget(request)
      })
    })
    // of the updates of an item that wait, the newest stands for all
    if (older) {
      this._forget(older)
      older.resolve(done)
    }
    this._flush()
    return done
  }
  _forget(request) {
    this._requests = this._requests.filter(r => r !== request)
    request.signal?.removeEventListener("abort", request.abort)
  }
  _open() { return [...this._connections].filter(c => c.joined) }
  // _writer is where changes go: the leader if there is a way, since any other
  // peer would have to hand them over. Old ears there come last: they are to go.
  _writer() {
    const open = this._open(), sound = open.filter(c => !c.suspended), lead = sound.filter(c => c.peer === this.leader)
    return lead.find(c => c.quiet || c === this._ears) ?? lead[0] ?? sound.find(c => c === this._ears) ?? sound[0] ?? open[0]
  }
  // _flush sends what may be sent. Changes keep their order: while some are under
  // way on one connection, none goes over another.
  _flush() {
    const writer = this._writer(), reader = this._ears ?? writer
    let flying = 0, free = writer && !this._holding
    for (const r of this._requests) {
      if (!r.made) r.on || !reader || this._send(r, reader)
      else if (!free) break
      else if (r.on === writer) flying++
      else if (r.on && !r.on.suspended || flying >= most || r.item?._busy) free = false
      else flying++, this._send(r, writer)
    }
  }
  _send(request, connection) {
    const { text, made, item = {} } = request
    request.on = connection
    request.sent++
    item._busy = true
    connection.ask(text, told => {
      if (request.on !== connection) return // it was sent over another one since
      request.on = item._busy = undefined
      if (made && told.code === "Unavailable") this._holding ??= setTimeout(() => {
        this._holding = undefined
        this._flush()
      }, backoff(request.sent))
      else if (!told.lost) this._answered(request, told)
      if (connection !== this._writer()) this._plan()
      this._flush()
    })
  }
  _answered(request, told) {
    const { sent, made, resolve, reject } = request, { code, message, applied, items } = told
    if (code === "SessionEnded") return this._ended("ended")
    this._forget(request)
    if (code === "OK") resolve(made ? made(told) : told)
    // what was sent twice may have been done at first
    else reject(new VeraError(code, message, { applied: made && sent > 1 ? "unknown" : applied, listing: items && told }))
  }
  // _tooLarge ends what a server would not read, and no other would.
  _tooLarge(connection) {
    const [largest] = this._requests.filter(r => r.on === connection).sort((a, b) => b.text.length - a.text.length)
    if (largest) this._answered(largest, { code: "TooLarge", message: "too large", applied: false })
  }

  // _plan opens what is missing; with several connections majority.js knows what.
  _plan() {
    if (this.state === "closed" || this._learning && !this._more) return
    if (this._many) this._more.plan(this)
    else if (!this._connections.size && !this._pause) this._connect(this._urls[0])
  }
  _connect(url, quiet) { new Connection(this, url, quiet) }
  // _learn has all that only programs and several connections need.
  _learn() {
    this._learning ??= import("./majority.js").then(more => {
      this._more = more
      more.learn(this)
      this._plan()
    }).catch(error => this._shut(error))
  }
  _wake() {
    this._resume()
    for (const connection of this._connections) connection.ping(hurry)
  }
  _resume() {
    clearTimeout(this._pause)
    this._pause = undefined
    this._plan()
  }
  _safe(safeMs) { this._safeMs = Math.max(safeMs, this.graceMs / 4, 20) } // how often to ask, how long to wait
  _query(quiet) {
    const { graceMs, heartbeatMs, local } = this._options
    const all = { client: this._label || undefined, graceMs, heartbeatMs, local, notify: quiet ? false : undefined }
    return new URLSearchParams(Object.entries(all).filter(([, value]) => value !== undefined))
  }
  _dial(url) { return this._more ? this._more.dial(this, url) : new (this._options.WebSocket ?? WebSocket)(url) }
  // _greet gets the cookie, and an answer that a page may read: of a refused
  // WebSocket it reads none. So it comes first, and after each failure.
  async _greet(url) {
    if (this._greeted) return
    const answer = await (this._options.fetch ?? fetch)(`${url}/session?${this._query()}`, { credentials: "include", headers: this._more?.headers(this) })
    const { code = "Unavailable", message } = await answer.json()
    if (!answer.ok) throw new VeraError(code, message, { final: answer.status === 400 || answer.status === 403 })
    this._more?.keep(this, answer)
    this._greeted = true
  }

  // _joined takes a connection in, once the server has said what the session is.
  _joined(connection, told) {
    if (told.code !== "OK") return connection.over()
    const { session, resumed, graceMs, safeMs, peer, leader, index, items, watches } = told
    const others = this._open(), held = [...this._items.values()]
    const had = this._had()
    this._names.set(connection.url, peer)
    this._failing.delete(connection.url)
    Object.assign(connection, { peer, joined: now() })
    const another = this.session && this.session !== session // its cookie was not known here
    if (resumed) this._logged = true
    const gone = held.some(({ version, _leaving }) => version <= index && !_leaving && !items.some(i => i.version === version))
    Object.assign(this, { session: another ? undefined : session, graceMs, leader: leader || this.leader })
    this._safe(safeMs)
    if (another || gone || had && !resumed && (connection.logged || !others.length)) this._ended("expired", connection)
    else if (had && !others.length) this._emit("session", { session, resumed })
    if (another) {
      this._greeted = false
      return connection.over()
    }
    if (!connection.quiet) {
      this._ears = connection
      for (const list of this._lists.values()) list.resume(watches)
    }
    connection.arm(idle)
    if (this._elections.size) connection.ping()
    this._changed()
    for (const list of this._lists.values()) list.poke()
  }
  // _ended: the life of the session is over, with all that it held. Nothing is
  // pushed again but by who is told so.
  _ended(reason, but) {
    const had = this._had(), { session } = this
    this._logged = false
    for (const connection of this._connections) if (connection !== but) connection.drop()
    for (const list of this._lists.values()) list.source = undefined
    for (const request of this._requests) {
      const { made, sent, item } = request
      request.on = undefined
      if (made && (sent || item)) this._forget(request), request.reject(over(sent ? "unknown" : false))
    }
    this._lose(reason) // last: what is pushed by those who are told belongs to the new life
    if (had) this._emit("session", { session, resumed: false })
    this._changed()
  }
  _had() { return this._items.size || this._requests.some(r => r.made && r.sent) }
  _lose(reason) { for (const item of [...this._items.values()]) item._lose(reason) }
  _lost(connection, code, error) {
    const { url, joined } = connection
    for (const list of this._lists.values()) list.lose(connection)
    if (this.state === "closed") return
    if (code === 4003) error = new VeraError("Forbidden", "forbidden", { final: true })
    if (error?.final) return this._shut(error)
    if (code === 4000) this._ended("ended")
    this._urls = [...this._urls.filter(u => u !== url), url] // another peer first
    if (joined) this._failures = 0
    else this._greeted = false, this._failing.add(url)
    // The first try after a loss is at once, but for servers that asked for time, or have none.
    const wait = !joined ? backoff(++this._failures) : code === 1001 || code === 1013 || this._brief ? Math.random() * 250 : 0
    this._brief = joined && since(joined) < 1000
    clearTimeout(this._pause)
    this._pause = setTimeout(() => this._resume(), globalThis.navigator?.onLine === false ? patience : wait)
    this._changed(error)
  }
  // _changed finds the state, and has all go on that waits for it.
  _changed(error) {
    const open = this._open(), previous = this.state
    if (previous === "closed") return
    this.state = !open.length ? "connecting" : open.every(c => c.suspended) ? "suspended" : "connected"
    if (this.state === "connected") this._resolve()
    if (this.state !== previous) this._emit("state", { state: this.state, previous, error })
    for (const election of this._elections) election._look()
    this._plan()
    this._flush()
  }
  _shut(error) {
    const previous = this.state
    if (previous === "closed") return
    this.state = "closed"
    this._closing.abort()
    this._why = error ?? over("unknown")
    clearTimeout(this._pause)
    clearTimeout(this._holding)
    for (const connection of this._connections) if (error || !connection.joined) connection.drop()
    this._lose("closed")
    for (const request of this._requests.splice(0)) request.reject(this._why)
    for (const election of this._elections) election._look("closed")
    for (const list of this._lists.values()) for (const watch of list.takers) watch.close(error)
    this._reject(this._why)
    this._emit("state", { state: "closed", previous, error })
  }
}

// Item is what a push made.
class Item extends Events {
  held = true
  constructor(client, path, version, data, list) {
    super()
    Object.assign(this, { _client: client, path, version, data, list })
  }
  update(data, options) { return this._ask("update", { data, ...options }, () => this.data = data) }
  remove(options) {
    this._leaving = true
    for (const election of this._client._elections) if (election.item === this) election._look("resigned") // before another can lead
    return this._ask("remove", options, () => this._forget()).finally(() => this._leaving = false)
  }
  _ask(action, { signal, ...more } = {}, then) {
    const { _client, path, version, held } = this
    if (!held) return Promise.reject(new VeraError("NotFound", "gone"))
    return _client._ask({ action, path, version, limit: 0, ...more }, signal, told => (then(), told), this)
  }
  _forget() {
    this.held = false
    this._client._items.delete(this.version)
  }
  _lose(reason) {
    this._forget()
    this._emit("lost", { reason })
  }
}

// List is a list that the server tells changes of, for all who watch it here.
class List {
  takers = new Set()
  constructor(client, path) {
    Object.assign(this, { client, path })
  }
  // sync has the server tell as much as those who watch want together.
  sync() {
    const { client, path, takers, told, asked } = this, { _ears: ears, _lists: lists } = client
    const limit = Math.max(...[...takers].map(t => t.limit)), items = path === peers
    if (!ears || limit === this.limit) return
    this.limit = this.asked = limit
    if (!takers.size) {
      this.told = undefined
      return ears.ask({ action: "unwatch", path }, () => takers.size || lists.delete(path))
    }
    ears.ask({ action: "watch", path, items, limit: limit < Infinity ? limit : undefined, since: limit === asked ? told?.index : undefined }, answer => {
      if (answer.code === "OK") return this.take(ears, answer)
      this.limit = undefined
      if (answer.code === "Unavailable") setTimeout(() => this.sync(), backoff(5))
      else if (!answer.lost && answer.code !== "SessionEnded") for (const watch of takers) watch.fail(new VeraError(answer.code, answer.message))
    })
  }
  lose(connection) {
    if (this.source !== connection) return
    this.source = undefined
    if (this.client._ears) this.limit = undefined // the session had its news over that one; the other must begin
    this.sync()
  }
  // resume asks again for what the session did not keep.
  resume(watches) {
    if (!watches.some(w => w.path === this.path && (w.limit ?? Infinity) === this.limit)) this.limit = undefined
    this.sync()
  }
  // take takes in what a connection tells. With all items it begins anew; the
  // differences that another connection tells do not fit.
  take(connection, { index, etag, items = this.told?.items, total, added, updated, removed, reset }) {
    const { path, source, told, takers } = this
    if (added && !reset) {
      if (source !== connection) return
      const fresh = new Map(updated.map(i => [i.version, i])), gone = new Map(removed.map(i => [i.version, i]))
      items = [...this.items.filter(i => !gone.has(i.version)).map(i => fresh.get(i.version) ?? i), ...added]
      for (const watch of takers) for (const i of watch.items) if (gone.has(i.version)) watch.gone.set(i.version, gone.get(i.version))
    } else if (source?.number > connection.number) return
    this.source = connection
    this.items = items
    if (index < told?.index && path !== peers) return // this peer is behind
    this.told = { path, index, etag, items, total }
    if (connection.joined) this.poke()
  }
  // poke tells those who watch. What came of a resumed session before its peer
  // said so waits until then: who watches may ask the client who it is.
  poke() { for (const watch of this.takers) watch.poke() }
}

// Watch is one who watches, and what he was told last.
class Watch {
  items = []
  gone = new Map() // version → why it is removed, of what he was told
  poke() {} // there is something new
  constructor(client, path, { limit = Infinity, signal } = {}, listener) {
    const { _lists: lists } = client
    if (!lists.has(path)) lists.set(path, new List(client, path))
    const list = lists.get(path)
    Object.assign(this, { limit, list, listener })
    if (listener) this.poke = () => {
      const told = this.difference()
      if (told) call(listener, told)
    }
    list.takers.add(this)
    list.sync()
    queueMicrotask(() => this.poke())
    aborts(signal, () => this.close(listener ? undefined : signal.reason))
  }
  // difference returns what is new since it was asked last, if anything.
  difference() {
    const { limit, gone, told: was } = this, { told } = this.list
    if (!told || told === was) return
    const by = new Map(this.items.map(i => [i.version, i]))
    const items = told.items.length > limit ? told.items.slice(0, limit) : told.items
    const total = told.total ?? (items !== told.items ? told.items.length : undefined)
    const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b)
    const added = items.filter(i => !by.has(i.version))
    const updated = items.filter(i => by.has(i.version) && !same(i, by.get(i.version)))
    for (const i of items) by.delete(i.version)
    const removed = [...by.values()].map(({ version, session }) => gone.get(version) ?? { version, session })
    gone.clear()
    Object.assign(this, { told, items: Object.freeze(items) })
    if (!was || added.length + updated.length + removed.length) return { ...told, items, total, added, updated, removed, reset: !was || undefined }
  }
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const told = this.difference()
        if (told) yield told
        else if (this.error) throw this.error
        else if (this.over) return
        else await new Promise(resolve => this.poke = resolve)
      }
    } finally {
      this.close()
    }
  }
  fail(error) {
    this.close(error)
    if (this.listener) call(() => { throw error }) // who else would hear of it
  }
  close(error) {
    const { over, list, listener } = this
    if (over) return
    Object.assign(this, { over: true, error })
    list.takers.delete(this)
    list.sync()
    if (!listener) this.poke()
  }
}

// Election is a candidate. It leads while its item is the head and a server has
// promised that the item stays, by its answer to a ping. After that time the
// session may be over for all it can know.
class Election extends Events {
  _state = "waiting"
  _over = new AbortController() // of the candidate
  constructor(client, path, data, { signal } = {}) {
    super()
    this._client = client
    if ((client.session ? client.graceMs : client._options.graceMs) <= 20) throw new VeraError("InvalidParameter", "grace: up to 20 ms promise nothing")
    client._elections.add(this)
    this._begin(path, data).catch(error => this._look(error.code, error))
    aborts(signal, () => this.resign())
  }
  async _begin(path, data) {
    const client = this._client
    this.item = await client.push(path, data, { limit: 0, signal: this._over.signal })
    this.fence = this.item.version
    this.item.on("lost", ({ reason }) => this._look(reason))
    this._watch = client.watch(path, { limit: 1 }, ({ items, removed }) => {
      if (items[0]?.version === this.fence) this._head = true
      this._look(removed.find(i => i.version === this.fence) && "removed")
    })
    for (const connection of client._connections) connection.ping()
  }
  // _covered takes in a promise: from the moment the ping was sent, and only for
  // items that the server knew of.
  _covered(sent, { safeMs, index }) {
    const promise = { sent, ms: safeMs - Math.max(20, safeMs / 10) }
    if (index >= this.fence && promise.ms - since(sent) > this._left()) this._promise = promise
    this._look()
  }
  _left() { return this._promise ? this._promise.ms - since(this._promise.sent) : 0 }
  // _look finds the state. Every question looks at the clock.
  _look(reason, error) {
    const { _state: was, _client: client, fence } = this, left = this._left()
    if (this._final) return
    const led = was === "elected" || was === "suspended", leads = this._head && !reason && left > 0
    clearTimeout(this._timer)
    if (leads) this._timer = setTimeout(() => this._look(), left)
    const state = this._state = leads ? led && client.state !== "connected" ? "suspended" : "elected" : led || reason ? "lost" : was
    this._final = Boolean(reason)
    if (reason) {
      client._elections.delete(this)
      this._watch?.close()
    }
    if (state === was && !reason) return
    if (!led) this._stop = new AbortController()
    if (state === "lost") this._stop.abort(error)
    this._emit(state, { fence, final: this._final, reason, error })
    if (leads && !led) this._look()
  }
  get state() { return this._look(), this._state }
  get leading() { return this.state === "elected" || this._state === "suspended" }
  get signal() { return this.leading ? this._stop.signal : AbortSignal.abort() }
  async resign() {
    this._look("resigned")
    this._over.abort()
    if (this.item?.held) await this.item.remove()
  }
}
