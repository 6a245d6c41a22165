import assert from "node:assert/strict"
import { mock, test } from "node:test"
import { Stage, failure, item, settle } from "./stage.mjs"

test("a client gets its cookie, connects with it, and says what it is", async t => {
  const stage = new Stage(t)
  const client = await stage.connect("http://a.example/", { graceMs: 3000, heartbeatMs: 1000, label: "one", local: true, headers: { Extra: "1" } })
  assert.equal(client.state, "connecting")
  assert.equal(stage.fetched[0].url, "http://a.example/session?client=one&graceMs=3000&heartbeatMs=1000&local=true")
  assert.equal(stage.last.origin, "ws://a.example")
  assert.deepEqual(stage.last.query, { client: "one", graceMs: "3000", heartbeatMs: "1000", local: "true" })
  assert.deepEqual(stage.last.options.headers, { Extra: "1", Cookie: "vera-12345678=secret" })
  await stage.last.open()
  await client.ready
  assert.deepEqual([client.state, client.session, client.peer, client.leader, client.cookie], ["connected", "me", "a", "a", "vera-12345678=secret"])
  assert.deepEqual(client.log, [["state", "connected"]], "nothing is said of a session that had nothing to lose")
  const again = await stage.connect("http://a.example", { cookie: "vera-12345678=mine" })
  assert.equal(stage.fetched.at(-1).headers.Cookie, "vera-12345678=mine")
  assert.equal(again.state, "connecting")
})

test("what is lost is resumed: nothing is pushed again", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const pushed = client.push("/data/a", { n: 1 })
  first.answer("push", { index: 12, etag: "12", version: 12, items: [] })
  const held = await pushed
  await first.lost()
  assert.equal(client.state, "connecting")
  await stage.pass(1)
  assert.equal(stage.sockets.length, 2, "the first try is at once")
  await stage.last.open({ resumed: true, index: 14, items: [{ path: "/data/a", version: 12 }] })
  assert.equal(stage.fetched.length, 1, "the cookie is known")
  assert.ok(held.held)
  stage.last.silent("push")
  assert.deepEqual(client.log, [["state", "connected"], ["state", "connecting"], ["session", true], ["state", "connected"]])
})

for (const [name, session] of [["says so", { resumed: false }], ["lacks an item", { resumed: true, items: [] }]]) {
  test(`a new life that ${name}: all is lost, and told`, async t => {
    const stage = new Stage(t)
    const [client, first] = await stage.joined()
    const one = client.push("/data/a", {})
    first.answer("push", { index: 12, version: 12 })
    const held = await one, lost = []
    held.on("lost", ({ reason }) => lost.push(reason))
    const under = failure(client.push("/data/b", {}))
    await first.lost()
    const waits = client.push("/data/c", {})
    await stage.pass(1)
    await stage.last.open({ index: 20, ...session })
    assert.deepEqual(lost, ["expired"])
    assert.equal(held.held, false)
    const { code, applied } = await under
    assert.deepEqual([code, applied], ["SessionEnded", "unknown"])
    assert.deepEqual(client.log.filter(([event]) => event === "session"), [["session", false]])
    assert.equal(stage.last.asked("push").path, "/data/c", "what was never sent belongs to no life")
    stage.last.silent("push")
    assert.equal((await failure(held.update({}))).code, "NotFound")
    waits.catch(() => {})
  })
}

test("who is told of a loss may push at once: that is of the new life", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const one = client.push("/data/a", {})
  first.answer("push", { index: 12, version: 12 })
  let anew
  ;(await one).on("lost", () => anew = client.push("/data/a", { again: true }))
  await first.lost()
  await stage.pass(1)
  await stage.last.open({ index: 20, resumed: false })
  stage.last.answer("push", { index: 21, version: 21 })
  assert.equal((await anew).version, 21)
  assert.ok((await anew).held)
})

test("an item that the answering peer can't know yet is not lost", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const pushed = client.push("/data/a", {})
  first.answer("push", { index: 12, version: 12 })
  const held = await pushed
  await first.lost()
  await stage.pass(1)
  await stage.last.open({ resumed: true, index: 11 })
  assert.ok(held.held)
  assert.equal(client.log.filter(([event, resumed]) => event === "session" && !resumed).length, 0)
})

for (const how of ["closed with 4000", "answered with SessionEnded"]) {
  test(how, async t => {
    const stage = new Stage(t)
    const [client, first] = await stage.joined()
    const pushed = client.push("/data/a", {})
    first.answer("push", { index: 12, version: 12 })
    const held = await pushed
    const late = failure(held.update({}))
    if (how === "closed with 4000") await first.lost(4000)
    else first.answer("update", { code: "SessionEnded", message: "it ended" })
    await settle()
    assert.equal((await late).code, "SessionEnded")
    assert.equal(held.held, false)
    await stage.pass(300)
    await stage.last.open({ index: 30 })
    assert.deepEqual(client.log.filter(([event]) => event === "session"), [["session", false]], "told once")
  })
}

test("a cookie that is not known any more: another session, and another cookie", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const pushed = client.push("/data/a", {})
  first.answer("push", { index: 12, version: 12 })
  const held = await pushed
  await first.lost()
  await stage.pass(1)
  await stage.last.open({ session: "other", index: 3 })
  assert.equal(held.held, false)
  await stage.pass(300)
  assert.equal(stage.fetched.length, 2)
  await stage.last.open({ session: "third", index: 3 })
  assert.equal(client.session, "third")
  assert.equal(client.state, "connected")
})

test("refused for good: 400, 403 and 4003 end the client, with the reason", async t => {
  const stage = new Stage(t)
  stage.refusal = () => new Response(JSON.stringify({ code: "InvalidParameter", message: "graceMs: an integer from 0 to 600000" }), { status: 400 })
  const client = await stage.connect("http://a.example", { graceMs: -1 })
  const error = await failure(client.ready)
  assert.deepEqual([error.code, error.message], ["InvalidParameter", "graceMs: an integer from 0 to 600000"])
  assert.equal(client.state, "closed")
  assert.equal((await failure(client.push("/data/a", {}))).code, "InvalidParameter")
  await stage.pass(20_000)
  assert.equal(stage.fetched.length, 1)

  stage.refusal = undefined
  const [other, socket] = await stage.joined()
  await socket.lost(4003)
  assert.deepEqual([other.state, (await failure(other.get("/data/a"))).code], ["closed", "Forbidden"])
})

test("tries again with full jitter, longer each time, and starts anew when it was in", async t => {
  const stage = new Stage(t)
  const random = mock.method(Math, "random", () => 0.999)
  await stage.connect()
  const waits = []
  for (let n = 0; n < 9; n++) {
    const before = stage.sockets.length
    await stage.last.lost()
    let waited = 0
    while (stage.sockets.length === before) {
      await stage.pass(10, 10)
      waited += 10
    }
    waits.push(waited)
  }
  assert.deepEqual(waits, [200, 400, 800, 1600, 3200, 6400, 9990, 9990, 9990])
  assert.equal(stage.fetched.length, 10, "after a failure it asks why, by a way that a page can read")
  await stage.last.open()
  await stage.pass(2000)
  await stage.last.lost()
  const before = stage.sockets.length
  await stage.pass(1)
  assert.equal(stage.sockets.length, before + 1)
  random.mock.mockImplementation(() => 0)
  await stage.last.lost()
  await stage.pass(1)
  assert.equal(stage.sockets.length, before + 2, "the jitter is full: it may be nothing")
})

for (const code of [1001, 1013]) test(`${code}: to another peer, within 250 ms`, async t => {
  const stage = new Stage(t)
  mock.method(Math, "random", () => 0.5)
  await stage.connect(["http://a.example", "http://b.example"])
  const [first] = stage.sockets
  await first.open()
  await stage.pass(2000)
  await first.lost(code)
  await stage.pass(120, 10)
  assert.equal(stage.sockets.length, 1)
  await stage.pass(10, 10)
  assert.equal(stage.sockets.length, 2)
  assert.notEqual(stage.last.origin, first.origin)
})

test("servers that the cluster names are tried too", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const peers = ["a", "b"].map((name, n) => item(n + 1, { data: { name, client: `http://${name}.example`, role: n ? "follower" : "leader" } }))
  let told
  client.on("peers", ({ items }) => told = items.length)
  first.answer("watch", { index: 10, etag: "3", items: peers }, "/vera/peers")
  assert.equal(told, 2)
  await first.lost()
  await stage.pass(1)
  assert.equal(stage.last.origin, "ws://b.example")
})

test("suspended, and back", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  socket.say({ action: "state", state: "suspended", safeMs: 1000 })
  assert.equal(client.state, "suspended")
  socket.say({ action: "state", state: "connected" })
  assert.equal(client.state, "connected")
})

test("silence: a ping after 25 s, and 10 s for its answer", async t => {
  const stage = new Stage(t)
  const [, socket] = await stage.joined()
  await stage.pass(24_900, 100)
  socket.silent("ping")
  await stage.pass(200)
  socket.answer("ping", { safeMs: 3000, index: 10 })
  await stage.pass(25_000, 100)
  socket.asked("ping")
  await stage.pass(9_800, 100)
  assert.equal(stage.sockets.length, 1)
  await stage.pass(300)
  assert.equal(socket.closed, 3001, "a code that does not end the session")
  assert.equal(stage.sockets.length, 2)
})

test("a connection that never opens is given up", async t => {
  const stage = new Stage(t)
  await stage.connect(["http://a.example", "http://b.example"])
  await stage.pass(2_500)
  assert.equal(stage.sockets.length, 2)
  assert.notEqual(stage.sockets[0].origin, stage.sockets[1].origin)
})

test("sleep: one more chance of 2 s before a connection is given up", async t => {
  const stage = new Stage(t)
  const [, socket] = await stage.joined()
  await stage.pass(25_100, 100)
  socket.asked("ping")
  stage.freeze(3_600_000, true)
  await stage.pass(10_100, 100)
  socket.answer("ping", { safeMs: 3000, index: 10 })
  await stage.pass(5_000)
  assert.equal(stage.sockets.length, 1, "it lived")
  stage.freeze(3_600_000, true)
  await stage.pass(21_000, 100)
  socket.asked("ping")
  await stage.pass(2_100)
  assert.equal(stage.sockets.length, 2, "it did not")
})

test("close ends the session and everything that depends on it", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const pushed = client.push("/data/a", {})
  socket.answer("push", { index: 12, version: 12 })
  const held = await pushed, lost = []
  held.on("lost", ({ reason }) => lost.push(reason))
  const under = failure(client.push("/data/a", {})), read = failure(client.get("/data/a"))
  const list = client.watch("/data/a")[Symbol.asyncIterator]().next()
  const over = client.close()
  assert.equal(client.state, "closed")
  socket.answer("close")
  await over
  assert.equal(socket.closed, 1000)
  assert.deepEqual([(await under).code, (await read).code, lost, (await list).done], ["SessionEnded", "SessionEnded", ["closed"], true])
  assert.equal((await failure(client.get("/data/a"))).code, "SessionEnded")
  await stage.pass(60_000, 500)
  assert.equal(stage.sockets.length, 1)
})

test("a signal closes; a listener's exception harms nobody", async t => {
  const stage = new Stage(t), stop = new AbortController()
  const [client, socket] = await stage.joined({ signal: stop.signal })
  const deferred = mock.method(globalThis, "queueMicrotask", () => {})
  client.on("state", () => { throw new Error("a listener's") })
  stop.abort()
  assert.equal(client.state, "closed")
  assert.throws(deferred.mock.calls.at(-1).arguments[0], /a listener's/)
  socket.answer("close")
})
