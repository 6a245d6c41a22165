import assert from "node:assert/strict"
import { mock, test } from "node:test"
import { Stage, settle } from "./stage.mjs"

// A page: what the client asks of the world around it.
const world = new EventTarget()
Object.assign(globalThis, { document: { hidden: false }, addEventListener: world.addEventListener.bind(world), location: { href: "http://page.example/a/b?c" } })
Object.defineProperty(globalThis, "sessionStorage", { value: {}, configurable: true, writable: true })
const happens = async name => {
  world.dispatchEvent(new Event(name))
  await settle()
}

test("a tab's label survives a reload and is not copied with the tab", async t => {
  const stage = new Stage(t)
  sessionStorage.vera = JSON.stringify(["kept"])
  await stage.connect(null)
  await stage.connect(null)
  const [first, second] = stage.sockets.map(s => s.query.client)
  assert.equal(first, "kept")
  assert.match(second, /^[A-Za-z0-9._-]{8,64}$/)
  assert.equal(sessionStorage.vera, undefined, "a copy of this tab finds nothing")
  await happens("pagehide")
  assert.deepEqual(JSON.parse(sessionStorage.vera), [first, second])
  await happens("pageshow")
  assert.equal(sessionStorage.vera, undefined)
  await stage.connect(null, { label: "" })
  assert.equal(stage.last.query.client, undefined)
})

test("a page: its origin, its cookies, one connection that watches nothing by itself", async t => {
  const stage = new Stage(t)
  await stage.connect(null, { connections: undefined })
  assert.equal(stage.last.origin, "ws://page.example")
  assert.equal(stage.fetched[0].credentials, "include")
  assert.equal(stage.last.options, undefined, "no headers: a browser takes none")
  await stage.last.open()
  assert.deepEqual(stage.last.sent, [])
})

for (const event of ["visibilitychange", "online", "pageshow"]) test(event + ": a ping at once, with 2 s for its answer", async t => {
  const stage = new Stage(t)
  await stage.connect(null)
  const socket = await stage.last.open()
  await happens(event)
  socket.answer("ping", { safeMs: 2000, index: 10 })
  await stage.pass(3000)
  assert.equal(stage.sockets.length, 1)
  await happens(event)
  await stage.pass(2100)
  assert.equal(stage.sockets.length, 2)
})

test("a hidden page is left alone", async t => {
  const stage = new Stage(t)
  await stage.connect(null)
  const socket = await stage.last.open()
  document.hidden = true
  t.after(() => document.hidden = false)
  await happens("visibilitychange")
  socket.silent("ping")
})

test("offline: no tries until online, or 10 s", async t => {
  const stage = new Stage(t)
  Object.defineProperty(globalThis, "navigator", { value: { onLine: false }, configurable: true })
  t.after(() => { delete globalThis.navigator })
  const client = await stage.connect(null)
  const socket = await stage.last.open()
  assert.equal(client.state, "connected", "offline alone changes nothing")
  await socket.lost()
  await stage.pass(5000)
  assert.equal(stage.sockets.length, 1)
  await happens("online")
  assert.equal(stage.sockets.length, 2)
  await stage.last.lost()
  await stage.pass(9000)
  assert.equal(stage.sockets.length, 2)
  await stage.pass(1500)
  assert.equal(stage.sockets.length, 3)
})

test("a closed client listens no more", async t => {
  const stage = new Stage(t)
  const client = await stage.connect(null)
  const wake = mock.method(client, "_wake")
  await client.close()
  await happens("online")
  assert.equal(wake.mock.callCount(), 0)
})
