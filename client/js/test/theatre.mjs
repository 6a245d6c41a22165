// A server that plays the vectors, in the time of a Stage.
import { readFileSync } from "node:fs"
import { connect } from "../vera.js"
import { Stage } from "./stage.mjs"

export const path = "/data/a"
export const vectors = file => JSON.parse(readFileSync(new URL(`../../../test/vectors/${file}`, import.meta.url)))

// begin sets up a stage and a theatre, which falls silent before the stage is
// cleared. More can be played one after the other.
export function begin(t) {
  const theatres = []
  const stage = new Stage({ after: clear => t.after(() => {
    for (const theatre of theatres) theatre.muted = true
    clear()
  }) })
  const playing = () => theatres[theatres.push(new Theatre(stage)) - 1]
  return [stage, playing(), playing]
}

class Theatre {
  up = true
  safeMs = 3000
  graceMs = 3000
  delay = 0
  resumed = false // what the next session is told
  index = 100
  items = [] // versions on the list
  held = [] // those of the client
  watches = [] // that the session has
  sockets = new Set()
  ahead = 0 // ms that the process stood still
  tries = [] // when each try to connect was
  promised = 0 // nobody leads from then on
  writes = (socket, m) => socket.ok(m, { index: this.index, version: this.index })
  watching = (socket, m) => {
    socket.limit = m.limit ?? Infinity
    socket.ok(m, { index: this.index, etag: String(this.index), items: this.items.slice(0, socket.limit).map(item) })
  }

  constructor(stage) {
    this.stage = stage
    const theatre = this
    this.began = 0
    this.began = this.clock()
    this.WebSocket = class {
      constructor() {
        theatre.tries.push(theatre.clock())
        queueMicrotask(() => {
          if (this.over) return
          if (!theatre.up) return this.end(1006)
          theatre.sockets.add(this)
          this.onopen?.()
        })
      }
      send(text) { theatre.muted || theatre.hear(this, JSON.parse(text)) }
      say(message) {
        if (!theatre.muted) queueMicrotask(() => this.over || this.onmessage?.({ data: JSON.stringify(message) }))
      }
      ok(m, answer) { this.say({ rid: m.rid, code: "OK", ...answer }) }
      end(code) {
        if (!this.close()) this.onclose?.({ code })
      }
      close() {
        const { over } = this
        this.over = true
        theatre.sockets.delete(this)
        return over
      }
      terminate() { this.close() }
    }
  }
  // clock is the true time: what was slept through counts, wherever it shows.
  clock() { return performance.now() - this.stage.steady + this.ahead - this.began }
  client(options) {
    const fetch = async () => new Response(`{"code":"OK"}`, { headers: { "Set-Cookie": "vera-12345678=secret; Path=/" } })
    const client = connect("http://a.example", { connections: "one", WebSocket: this.WebSocket, fetch, ...options })
    this.stage.clients.push(client)
    return client
  }

  hear(socket, m) {
    const { index } = this
    if (m.action === "session") {
      const { resumed, graceMs, safeMs, watches } = this
      this.resumed = true // from now on it lives
      socket.ok(m, { session: "me", resumed, graceMs, heartbeatMs: 10000, safeMs, peer: "a", leader: "a", index, items: this.held.map(version => ({ path, version })), watches })
    } else if (m.action === "ping") this.ping(socket, m)
    else if (m.action === "watch" && m.path === path) this.watching(socket, m)
    else if (["push", "update", "remove"].includes(m.action)) this.writes(socket, m)
    else socket.ok(m, { index, etag: "0", items: [] })
  }
  ping(socket, m) {
    const sent = this.clock(), { safeMs, index } = this
    const answer = () => {
      if (!this.muted) this.promised = Math.max(this.promised, sent + safeMs - Math.max(20, safeMs / 10))
      socket.ok(m, { safeMs, index })
    }
    if (this.delay) setTimeout(answer, this.delay)
    else answer()
  }
  // change makes the list another one and tells who watches.
  change(items, reason) {
    const before = this.items
    this.items = items
    this.index = Math.max(this.index + 1, ...items)
    for (const socket of this.sockets) {
      const was = before.slice(0, socket.limit), now = items.slice(0, socket.limit)
      const added = now.filter(v => !was.includes(v)).map(item), removed = was.filter(v => !items.includes(v)).map(version => ({ version, session: "me", reason }))
      if (socket.limit && added.length + removed.length) {
        socket.say({ action: "notify", path, index: this.index, etag: String(this.index), added, updated: [], removed })
      }
    }
  }
  cut() {
    this.up = false
    this.lose()
  }
  lose(code = 1006) {
    for (const socket of [...this.sockets]) socket.end(code)
  }
  back(resumed) {
    Object.assign(this, { up: true, resumed })
    if (!resumed) this.held = []
  }
  // until waits for something, for as long as any try to connect may take, and
  // then a little, in which too much would show.
  async until(holds) {
    for (let n = 0; n < 200 && !holds(); n++) await this.stage.pass(100)
    await this.stage.pass(1000)
  }
}

const item = version => ({ version, owner: "::1", session: "me", data: {} })