import assert from "node:assert/strict"
import { test } from "node:test"
import { Stage, item, settle } from "./stage.mjs"

const path = "/data/m"
const names = ["a", "b", "c"]
const peers = (leader, more = {}) => names.map((name, n) => item(n + 1, { data: { name, client: `http://${name}.example`, role: name === leader ? "leader" : "follower", ...more[name] } }))
  .sort((x, y) => (y.data.role === "leader") - (x.data.role === "leader"))
const at = socket => socket.origin.at(5)
const quiet = socket => socket.query.notify === "false"

// cluster is a client of three peers that has all its connections: its ears at
// a follower, and a quiet one at the leader.
async function cluster(t, leader = "a", first = "b") {
  const stage = new Stage(t)
  const client = await stage.connect(`http://${first}.example`, { connections: "majority", graceMs: 3000 })
  const ears = await stage.last.open({ peer: first, leader })
  ears.answer("watch", { index: 10, etag: "3", items: peers(leader) }, "/vera/peers")
  await settle()
  const lead = stage.last
  assert.deepEqual([stage.sockets.length, at(lead), quiet(lead)], [2, leader, true])
  await lead.open({ peer: leader, leader, resumed: true })
  return { stage, client, ears, lead }
}

test("ears at a follower, changes to the leader, no more connections than most of the peers", async t => {
  const { stage, client, ears, lead } = await cluster(t)
  client.push(path, {}).catch(() => {})
  client.get(path).catch(() => {})
  client.watch(path)
  lead.asked("push")
  ears.asked("get")
  ears.asked("watch", path)
  assert.equal(quiet(ears), false)
  await stage.pass(3000)
  assert.equal(stage.sockets.length, 2)
})

test("the leader dies: what was under way goes on over the ears at once, in order", async t => {
  const { client, ears, lead } = await cluster(t)
  for (const n of [1, 2, 3]) client.push(path, { n }).catch(() => {})
  assert.equal(lead.sent.length, 3)
  await lead.lost()
  assert.deepEqual(ears.sent.filter(m => m.action === "push").map(m => m.data.n), [1, 2, 3])
  assert.equal(client.state, "connected")
  assert.ok(!client.log.some(([, told]) => told === "connecting"))
})

test("the ears die: others open where the quiet one is not the leader's, and watches go on", async t => {
  const { stage, client, ears, lead } = await cluster(t)
  const told = []
  client.watch(path, list => told.push(list))
  ears.answer("watch", { index: 12, etag: "12", items: [item(12)] }, path)
  await ears.lost()
  await stage.pass(1)
  const again = stage.last
  assert.deepEqual([at(again), quiet(again)], ["c", false])
  await again.open({ peer: "c", resumed: true, watches: [{ path, items: false }, { path: "/vera/peers" }] })
  again.notify(path, 15, { reset: true, items: [item(12), item(15)], added: undefined })
  assert.deepEqual(told.at(-1).added, [item(15)])
  assert.equal(told.at(-1).reset, undefined)
  assert.equal(lead.closed, undefined)
  assert.equal(client.state, "connected")
})

test("the leader moved: the new connection is opened first, then the old one closed", async t => {
  const { stage, ears, lead } = await cluster(t)
  ears.notify("/vera/peers", 20, { reset: true, items: peers("c"), added: undefined })
  await settle()
  const moved = stage.last
  assert.deepEqual([at(moved), quiet(moved), lead.closed], ["c", true, undefined])
  await moved.open({ peer: "c", leader: "c", resumed: true, index: 20 })
  assert.equal(lead.closed, 1000)
  assert.deepEqual([ears.closed, moved.closed], [undefined, undefined])
})

test("changes under way on a connection to the old leader are answered before others go elsewhere", async t => {
  const { stage, client, ears, lead } = await cluster(t)
  const one = client.push(path, { n: 1 })
  ears.notify("/vera/peers", 20, { reset: true, items: peers("c"), added: undefined })
  await settle()
  const moved = await stage.last.open({ peer: "c", leader: "c", resumed: true, index: 20 })
  client.push(path, { n: 2 }).catch(() => {})
  moved.silent("push")
  assert.equal(lead.closed, undefined)
  lead.answer("push", { index: 21, version: 21 })
  await one
  assert.equal(moved.asked("push").data.n, 2)
  assert.equal(lead.closed, 1000)
})

test("ears that the leader is at move away: a quiet connection takes their place", async t => {
  const stage = new Stage(t)
  const client = await stage.connect("http://a.example", { connections: "majority" }), told = []
  client.watch(path, list => told.push(list.items.length))
  const first = await stage.last.open({ peer: "a", leader: "a" })
  first.answer("watch", { index: 10, etag: "3", items: peers("a") }, "/vera/peers")
  first.answer("watch", { index: 12, etag: "12", items: [item(12)] }, path)
  await settle()
  const ears = stage.sockets.find(s => s !== first && !quiet(s))
  assert.ok(ears && at(ears) !== "a")
  await ears.open({ peer: at(ears), leader: "a", resumed: true, watches: [{ path, items: false }, { path: "/vera/peers" }] })
  ears.notify(path, 14, { reset: true, items: [item(12), item(14)], added: undefined })
  first.notify(path, 15, { added: [item(15)] })
  assert.deepEqual(told, [1, 2], "the old ears are not listened to any more")
  assert.equal(first.closed, undefined, "made before it breaks")
  const place = stage.sockets.find(s => quiet(s) && at(s) === "a")
  await place.open({ peer: "a", leader: "a", resumed: true })
  assert.equal(first.closed, 1000)
  const open = stage.sockets.filter(s => !s.closed && s.onopen)
  assert.deepEqual(open.filter(s => !quiet(s)), [ears], "one has notifications")
})

test("old ears at the leader go, though there are always changes under way", async t => {
  const stage = new Stage(t)
  const client = await stage.connect("http://a.example", { connections: "majority" })
  const first = await stage.last.open({ peer: "a", leader: "a" })
  const one = client.push(path, { n: 1 })
  first.answer("watch", { index: 10, etag: "3", items: peers("a") }, "/vera/peers")
  await settle()
  const ears = stage.sockets.find(s => s !== first && !quiet(s))
  await ears.open({ peer: at(ears), leader: "a", resumed: true, watches: [{ path: "/vera/peers" }] })
  const place = stage.sockets.find(s => quiet(s) && at(s) === "a")
  await place.open({ peer: "a", leader: "a", resumed: true })
  client.push(path, { n: 2 }).catch(() => {})
  place.silent("push") // behind the one that is under way
  assert.equal(first.closed, undefined)
  first.answer("push", { index: 12, version: 12 })
  await one
  assert.equal(place.asked("push").data.n, 2)
  assert.equal(first.closed, 1000)
})

test("ears that lost the majority move to where it is", async t => {
  const { stage, client, ears, lead } = await cluster(t)
  ears.say({ action: "state", state: "suspended", safeMs: 1000 })
  await settle()
  assert.equal(client.state, "connected")
  const moved = stage.last
  assert.deepEqual([at(moved), quiet(moved)], ["a", false])
  await moved.open({ peer: "a", leader: "a", resumed: true, watches: [{ path: "/vera/peers" }] })
  assert.equal(ears.closed, 1000)
  lead.say({ action: "state", state: "suspended", safeMs: 1000 })
  moved.say({ action: "state", state: "suspended", safeMs: 1000 })
  assert.equal(client.state, "suspended")
})

test("a promise of any connection keeps a leader", async t => {
  const { stage, client, ears, lead } = await cluster(t)
  const election = client.elect(path, {})
  lead.answer("push", { index: 12, version: 12 }, path)
  await settle()
  ears.answer("watch", { index: 12, etag: "12", items: [item(12)] }, path)
  await ears.lost()
  lead.answer("ping", { safeMs: 3000, index: 12 })
  assert.ok(election.leading)
  await stage.pass(1000)
  lead.answer("ping", { safeMs: 3000, index: 12 })
  await stage.pass(2000)
  assert.ok(election.leading)
})

test("a new life is seen though another connection says nothing, and nothing is pushed again", async t => {
  const { stage, client, ears, lead } = await cluster(t)
  const first = client.push(path, { n: 1 })
  lead.answer("push", { index: 12, version: 12 }, path)
  const removed = (await first).remove()
  lead.answer("remove", { index: 13 }, path)
  await removed
  const under = client.push(path, { n: 2 }).then(() => "made", ({ code }) => code)
  await lead.lost() // the push may have been done; the ears are dead, and nobody knows
  await stage.pass(300)
  const third = stage.last
  assert.notEqual(third, ears)
  await third.open({ peer: "c", resumed: false, items: [] })
  assert.equal(await under, "SessionEnded")
  await stage.pass(100)
  third.silent("push")
})
