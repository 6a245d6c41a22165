import assert from "node:assert/strict"
import { test } from "node:test"
import { Stage, item, settle } from "./stage.mjs"

const path = "/data/leader"
const mine = item(12), rival = item(11)

// candidate is one whose push was answered, on a list that begins with these items.
async function candidate(stage, items = [mine], options) {
  const [client, socket] = await stage.joined({ graceMs: 3000 })
  const election = client.elect(path, { name: "me" }, options), log = []
  for (const event of ["elected", "suspended", "lost"]) election.on(event, told => log.push(event + (event === "lost" ? told.final ? " for good" : " for a time" : "")))
  assert.equal(socket.answer("push", { index: 12, version: 12 }, path).limit, 0)
  await settle()
  assert.equal(socket.answer("watch", { index: 12, etag: "12", items }, path).limit, 1)
  return { client, socket, election, log }
}
const promised = { safeMs: 3000, index: 12 }

test("elected with the head and a promise, and not with one of them", async t => {
  const stage = new Stage(t)
  const { socket, election, log } = await candidate(stage, [rival])
  socket.answer("ping", promised)
  assert.deepEqual([election.state, election.leading, election.fence, election.signal.aborted], ["waiting", false, 12, true])
  socket.notify(path, 14, { removed: [{ version: 11, session: "you", reason: "expired" }], added: [mine] })
  assert.deepEqual([log, election.leading, election.signal.aborted], [["elected"], true, false])
})

test("not elected by a promise for what there was before the item", async t => {
  const stage = new Stage(t)
  const { socket, election } = await candidate(stage)
  assert.equal(election.leading, false)
  socket.answer("ping", { ...promised, index: 11 })
  assert.equal(election.leading, false)
})

test("it pings every third and gives up the connection after one safeMs without an answer", async t => {
  const stage = new Stage(t)
  const { socket, election } = await candidate(stage)
  socket.answer("ping", promised)
  for (let n = 0; n < 5; n++) {
    await stage.pass(950)
    socket.silent("ping")
    await stage.pass(50)
    socket.answer("ping", promised)
    assert.ok(election.leading)
  }
  await stage.pass(1000)
  socket.asked("ping")
  await stage.pass(2900)
  assert.equal(stage.sockets.length, 1)
  await stage.pass(150)
  assert.equal(stage.sockets.length, 2)
})

test("the promise counts from when the ping was sent, with a margin", async t => {
  const stage = new Stage(t)
  const { socket, election, log } = await candidate(stage)
  await stage.pass(1000)
  socket.answer("ping", promised)
  await socket.lost()
  assert.deepEqual(log, ["elected", "suspended"])
  await stage.pass(1650)
  assert.ok(election.leading)
  const { signal } = election
  await stage.pass(100)
  assert.deepEqual([log, election.leading, signal.aborted], [["elected", "suspended", "lost for a time"], false, true])
})

test("an older promise that lasts longer stays", async t => {
  const stage = new Stage(t)
  const { socket, election } = await candidate(stage)
  socket.answer("ping", promised)
  await stage.pass(1000)
  socket.answer("ping", { safeMs: 100, index: 12 })
  await stage.pass(500)
  assert.ok(election.leading)
})

for (const [name, change, stops] of [
  ["frozen for longer than promised", stage => stage.freeze(3000), true],
  ["asleep for longer than promised", stage => stage.freeze(3000, true), true],
  ["a wall clock set forward only stops it early", stage => stage.wall += 3_600_000, true],
  ["a wall clock set back changes nothing", stage => stage.wall -= 3_600_000, false],
]) test(name, async t => {
  const stage = new Stage(t)
  const { socket, election, log } = await candidate(stage)
  socket.answer("ping", promised)
  const { signal } = election
  change(stage)
  assert.deepEqual([election.leading, signal.aborted], [!stops, stops], "asked before any timer rang")
  assert.deepEqual(log, stops ? ["elected", "lost for a time"] : ["elected"])
  if (!stops) {
    await socket.lost()
    await stage.pass(2750)
    assert.equal(election.leading, false, "and it stops in time")
  }
})

test("lost for a time, and elected again with the same fence", async t => {
  const stage = new Stage(t)
  const { socket, election, log } = await candidate(stage)
  socket.answer("ping", promised)
  await socket.lost()
  await stage.pass(1)
  await stage.pass(3000)
  assert.equal(election.state, "lost")
  await stage.last.open({ resumed: true, index: 20, items: [{ path, version: 12 }], watches: [{ path, limit: 1, items: false }, { path: "/vera/peers" }] })
  stage.last.answer("ping", { safeMs: 3000, index: 20 })
  assert.deepEqual([log, election.leading, election.fence], [["elected", "suspended", "lost for a time", "elected"], true, 12])
})

test("doubt that ends in time", async t => {
  const stage = new Stage(t)
  const { socket, election, log } = await candidate(stage)
  socket.answer("ping", promised)
  socket.say({ action: "state", state: "suspended", safeMs: 2000 })
  assert.equal(election.leading, true)
  socket.say({ action: "state", state: "connected" })
  assert.deepEqual(log, ["elected", "suspended", "elected"])
})

for (const [name, end] of Object.entries({
  removed: ({ socket }) => socket.notify(path, 20, { removed: [{ version: 12, session: "me", reason: "ended" }] }),
  over: ({ socket }) => socket.lost(4000),
  resigned: ({ election, socket }) => {
    election.resign()
    assert.equal(election.leading, false, "it has stopped before it says so")
    socket.answer("remove", { index: 20 }, path)
  },
  closed: ({ client }) => { client.close() },
})) test("lost for good: " + name, async t => {
  const all = await candidate(new Stage(t))
  all.socket.answer("ping", promised)
  const { signal } = all.election
  await end(all)
  await settle()
  assert.deepEqual([all.log.at(-1), all.election.state, signal.aborted], ["lost for good", "lost", true])
})

test("once the head, always the head until it is removed", async t => {
  const stage = new Stage(t)
  const { socket, election } = await candidate(stage)
  socket.answer("ping", promised)
  socket.notify(path, 20, { updated: [{ ...mine, updated: 20 }] })
  assert.ok(election.leading)
})

test("a candidate whose signal is aborted leaves nothing behind", async t => {
  const stage = new Stage(t), stop = new AbortController()
  const [client, socket] = await stage.joined()
  const election = client.elect(path, {}, { signal: stop.signal })
  stop.abort()
  await settle()
  assert.equal(election.state, "lost")
  socket.answer("push", { index: 12, version: 12 }, path)
  assert.equal(socket.asked("remove", path).version, 12)
})

test("a push that is refused is a lost election; a grace of 0 or so is no election", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const election = client.elect("/bad", {}), lost = new Promise(resolve => election.on("lost", resolve))
  socket.answer("push", { code: "InvalidParameter", message: "path" })
  const { final, error } = await lost
  assert.deepEqual([final, error.code], [true, "InvalidParameter"])
  const [short] = await stage.joined({ graceMs: 0 }, { graceMs: 0, safeMs: 0 })
  assert.throws(() => short.elect(path, {}), { code: "InvalidParameter", message: /grace/ })
  const [brief] = await stage.joined({ graceMs: 20 }, { graceMs: 20, safeMs: 20 })
  assert.throws(() => brief.elect(path, {}), { code: "InvalidParameter", message: /grace/ })
})

test("who removes its item leads no more before the removal is sent", async t => {
  const stage = new Stage(t)
  const { client, socket, election, log } = await candidate(stage)
  socket.answer("ping", promised)
  assert.ok(election.leading)
  const removed = election.item.remove()
  assert.deepEqual([election.leading, log], [false, ["elected", "lost for good"]])
  socket.answer("remove", { index: 13 })
  await removed
  assert.equal(client.state, "connected")
})
