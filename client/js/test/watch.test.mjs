import assert from "node:assert/strict"
import { mock, test } from "node:test"
import { Stage, failure, item, settle } from "./stage.mjs"

const path = "/data/l"
const versions = list => list.map(i => i.version)
const brief = ({ items, added, updated, removed, reset }) => [versions(items), versions(added), versions(updated), versions(removed), reset]

// follow collects what a callback is told.
function follow(client, options = {}) {
  const told = []
  const watch = client.watch(path, options, list => told.push(list))
  return { told, watch }
}

test("a watch: the list as it is, then each difference", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const { told, watch } = follow(client)
  const { items, limit, since } = socket.answer("watch", { index: 12, etag: "12", items: [item(11), item(12)] }, path)
  assert.deepEqual([items, limit, since], [false, undefined, undefined])
  socket.notify(path, 13, { added: [item(13)] })
  socket.notify(path, 14, { updated: [item(12, { updated: 14 })] })
  socket.notify(path, 15, { removed: [{ version: 11, session: "you", reason: "expired" }] })
  socket.notify(path, 16) // nothing that is told
  assert.deepEqual(told.map(brief), [
    [[11, 12], [11, 12], [], [], true],
    [[11, 12, 13], [13], [], [], undefined],
    [[11, 12, 13], [], [12], [], undefined],
    [[12, 13], [], [], [11], undefined],
  ])
  assert.deepEqual([told[3].path, told[3].index, told[3].etag, told[3].removed[0].reason], [path, 15, "15", "expired"])
  assert.equal(told[0].items.length, 2, "what was told does not change")
  assert.throws(() => watch.items.push(1))
  watch.close()
  socket.asked("unwatch", path)
  socket.notify(path, 17, { added: [item(17)] })
  assert.equal(told.length, 4)
})

test("an iterator: who is slow is told at once of all that happened", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const watch = client.watch(path), taker = watch[Symbol.asyncIterator]()
  const first = taker.next()
  socket.answer("watch", { index: 12, etag: "12", items: [item(11), item(12)] }, path)
  assert.deepEqual(brief((await first).value), [[11, 12], [11, 12], [], [], true])
  socket.notify(path, 13, { added: [item(13)] })
  socket.notify(path, 14, { added: [item(14)], removed: [{ version: 11, session: "you", reason: "closed" }] })
  socket.notify(path, 15, { updated: [item(13, { updated: 15 }), item(12, { updated: 15 })] })
  socket.notify(path, 16, { removed: [{ version: 14, session: "you", reason: "closed" }] })
  const { value } = await taker.next()
  assert.deepEqual(brief(value), [[12, 13], [13], [12], [11], undefined])
  assert.equal(value.removed[0].reason, "closed")
  assert.equal(value.added[0].updated, 15)
  socket.notify(path, 17, { added: [item(17)] })
  socket.notify(path, 18, { removed: [{ version: 17, session: "you", reason: "closed" }] })
  let told = false
  const next = taker.next().then(() => told = true)
  await settle()
  assert.equal(told, false, "what came and went is nothing")
  watch.close()
  await next
})

test("breaking out of the loop ends the watch, a signal fails it", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const loop = (async () => { for await (const list of client.watch(path)) return list.items.length })()
  socket.answer("watch", { index: 12, etag: "0", items: [] }, path)
  assert.equal(await loop, 0)
  socket.answer("unwatch", { index: 12 }, path)
  const stop = new AbortController(), stopped = client.watch(path, { signal: stop.signal })
  const aborted = failure((async () => { for await (const _ of stopped); })())
  await settle()
  stop.abort()
  assert.equal((await aborted).name, "AbortError")
})

test("a watch that is refused fails its iterator and is thrown for a callback", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const deferred = mock.method(globalThis, "queueMicrotask", () => {})
  const failed = failure(client.watch("/bad")[Symbol.asyncIterator]().next())
  client.watch("/bad", () => {})
  socket.answer("watch", { code: "InvalidParameter", message: "path: must begin with /data/" }, "/bad")
  assert.equal((await failed).code, "InvalidParameter")
  assert.throws(deferred.mock.calls.at(-1).arguments[0], { code: "InvalidParameter" })
})

test("several watches of a list are one to the server, with the widest wishes", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const one = follow(client, { limit: 1 })
  assert.equal(socket.answer("watch", { index: 13, etag: "13", total: 3, items: [item(11)] }, path).limit, 1)
  const three = follow(client, { limit: 3 })
  await settle()
  const wider = socket.asked("watch", path)
  assert.deepEqual([wider.limit, wider.since], [3, undefined])
  socket.say({ rid: wider.rid, code: "OK", index: 14, etag: "13", items: [item(11), item(12), item(13)] })
  const none = follow(client)
  await settle()
  assert.equal(socket.answer("watch", { index: 14, etag: "13", items: [item(11), item(12), item(13)] }, path).limit, undefined)
  const small = follow(client, { limit: 2 })
  await settle()
  socket.silent("watch", path)
  assert.deepEqual(brief(small.told[0]), [[11, 12], [11, 12], [], [], true])
  assert.equal(small.told[0].total, 3)
  socket.notify(path, 15, { added: [item(15)] })
  assert.deepEqual([one, three, none, small].map(w => w.told.length), [1, 2, 2, 1], "told only of what is among their own")
  socket.notify(path, 16, { removed: [{ version: 11, session: "you", reason: "closed" }] })
  assert.deepEqual(brief(one.told.at(-1)), [[12], [12], [], [11], undefined])
  assert.deepEqual(brief(small.told.at(-1)), [[12, 13], [13], [], [11], undefined])
  assert.equal(one.told.at(-1).total, 3)
  none.watch.close()
  assert.equal(socket.asked("watch", path).limit, 3, "and no wider than is needed")
})

test("after a reset: a difference, no gap and no reset", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const { told } = follow(client)
  first.answer("watch", { index: 12, etag: "12", items: [item(11), item(12)] }, path)
  await first.lost()
  await stage.pass(1)
  const { last: second } = stage
  second.notify(path, 20, { reset: true, items: [item(12, { updated: 18 }), item(19)], added: undefined })
  await second.open({ resumed: true, index: 20, watches: [{ path, items: false }, { path: "/vera/peers" }] })
  second.silent("watch", path)
  assert.deepEqual(brief(told[1]), [[12, 19], [19], [12], [11], undefined])
  assert.equal(told[1].removed[0].reason, undefined, "why is not known")
  first.notify(path, 21, { added: [item(21)] })
  assert.equal(told.length, 2, "a connection that is over tells nothing")
  second.notify(path, 22, { added: [item(22)] })
  assert.deepEqual(brief(told[2]), [[12, 19, 22], [22], [], [], undefined])
})

test("what the session did not keep is watched again, from where it was", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined({ local: true })
  const { told } = follow(client)
  first.answer("watch", { index: 12, etag: "12", items: [item(12)] }, path)
  first.notify(path, 14, { added: [item(14)] })
  await first.lost()
  await stage.pass(1)
  await stage.last.open({ resumed: false, index: 20 })
  const { since, items } = stage.last.answer("watch", { index: 20, etag: "14" }, path)
  assert.deepEqual([since, items], [14, false])
  assert.equal(told.length, 2, "nothing changed, nothing is told")
  stage.last.notify(path, 21, { added: [item(21)] })
  assert.deepEqual(brief(told[2]), [[12, 14, 21], [21], [], [], undefined])
  assert.ok(!client.log.some(([event]) => event === "session"), "who only watches lost nothing")
})

test("a peer that is behind takes nothing back", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const { told } = follow(client)
  first.answer("watch", { index: 12, etag: "12", items: [item(11), item(12)] }, path)
  first.notify(path, 15, { removed: [{ version: 11, session: "you", reason: "closed" }] })
  await first.lost()
  await stage.pass(1)
  const { last: second } = stage
  await second.open({ resumed: true, index: 13, watches: [{ path, items: false }, { path: "/vera/peers" }] })
  second.notify(path, 13, { reset: true, items: [item(11), item(12)], added: undefined })
  assert.equal(told.length, 2)
  second.notify(path, 15, { removed: [{ version: 11, session: "you", reason: "closed" }] })
  second.notify(path, 16, { added: [item(16)] })
  assert.deepEqual(told.slice(2).map(brief), [[[12, 16], [16], [], [], undefined]])
})

test("a watch waits for a server, and is tried again while it says Unavailable", async t => {
  const stage = new Stage(t)
  const client = await stage.connect()
  const { told } = follow(client)
  await stage.last.open()
  stage.last.answer("watch", { code: "Unavailable", message: "since: not reached" }, path)
  await stage.pass(4000)
  stage.last.answer("watch", { index: 12, etag: "0", items: [] }, path)
  assert.equal(told.length, 1)
})

test("who watches later is told at once", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  follow(client)
  socket.answer("watch", { index: 12, etag: "12", items: [item(12)] }, path)
  const late = follow(client)
  await settle()
  assert.deepEqual(late.told.map(brief), [[[12], [12], [], [], true]])
  assert.deepEqual(versions(client.watch(path, () => {}).items), [], "nothing told, nothing known")
})

test("the peers are told in the order of the server, and of each change", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const told = []
  client.watch("/vera/peers", list => told.push(list))
  const peer = (version, name, role) => item(version, { data: { name, role, client: `http://${name}.example` } })
  socket.answer("watch", { index: 10, etag: "3", items: [peer(1, "a", "leader"), peer(2, "b", "follower")] }, "/vera/peers")
  assert.equal(client.leader, "a")
  socket.notify("/vera/peers", 10, { reset: true, items: [peer(2, "b", "leader"), peer(1, "a", "follower")], added: undefined })
  assert.equal(client.leader, "b")
  assert.deepEqual(told.map(brief), [[[1, 2], [1, 2], [], [], true], [[2, 1], [], [2, 1], [], undefined]])
})

test("what a resumed session is told first is told when the client knows who it is", async t => {
  const stage = new Stage(t)
  const client = await stage.connect()
  const told = []
  client.watch(path, {}, list => told.push([client.session, client.state, versions(list.items)]))
  stage.last.notify(path, 12, { reset: true, items: [item(11)] }) // before the answer to session
  assert.deepEqual(told, [])
  await stage.last.open({ resumed: true, index: 12, watches: [{ path }] })
  assert.deepEqual(told, [["me", "connected", [11]]])
})
