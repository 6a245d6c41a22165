import assert from "node:assert/strict"
import { test } from "node:test"
import { Stage, failure, item, settle } from "./stage.mjs"

const path = "/data/w"

test("a push goes once: sent again with its word, in order", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const pushes = [0, 1, 2].map(n => client.push(path, { n }, { once: n ? undefined : "given" }))
  const before = [0, 1, 2].map(() => first.asked("push"))
  assert.equal(before[0].once, "given")
  assert.equal(new Set(before.map(m => m.once)).size, 3)
  first.say({ rid: before[0].rid, code: "OK", index: 11, version: 11 })
  await first.lost()
  const late = client.push(path, { n: 3 })
  await stage.pass(1)
  await stage.last.open({ resumed: true, index: 13, items: [{ path, version: 11 }, { path, version: 12 }] })
  const after = stage.last.sent.filter(m => m.action === "push")
  assert.deepEqual(after.map(m => m.data.n), [1, 2, 3])
  assert.deepEqual(after.slice(0, 2).map(m => m.once), before.slice(1).map(m => m.once))
  for (const version of [12, 13, 14]) stage.last.answer("push", { index: 14, version, etag: "14", items: [] })
  const items = await Promise.all([...pushes, late])
  assert.deepEqual(items.map(i => i.version), [11, 12, 13, 14])
  assert.deepEqual([items[1].path, items[1].data, items[1].held, items[1].list.etag], [path, { n: 1 }, true, "14"])
})

test("data is what it was when it was pushed", async t => {
  const stage = new Stage(t)
  const client = await stage.connect(), data = { n: 1 }
  client.push(path, data).catch(() => {})
  data.n = 2
  await stage.last.open()
  assert.deepEqual(stage.last.asked("push").data, { n: 1 })
})

test("Unavailable is tried again, and what was behind waits", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const one = client.push(path, { n: 1 })
  const { once } = socket.answer("push", { code: "Unavailable", message: "no leader", applied: "unknown" })
  const two = client.push(path, { n: 2 })
  socket.silent("push")
  await stage.pass(300)
  assert.equal(socket.answer("push", { index: 12, version: 12 }).once, once)
  socket.answer("push", { index: 13, version: 13 })
  assert.deepEqual([(await one).version, (await two).version], [12, 13])
})

test("other refusals are the caller's", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const refused = failure(client.push(path, {}, { ifMatch: "0", limit: 1 }))
  const list = { index: 12, etag: "12", items: [item(12)] }
  const asked = socket.answer("push", { code: "PreconditionFailed", message: "ifMatch: the etag is 12", ...list })
  assert.deepEqual([asked.ifMatch, asked.limit], ["0", 1])
  const error = await refused
  assert.deepEqual([error.name, error.code, error.message, error.listing.items, error.applied], ["VeraError", "PreconditionFailed", "ifMatch: the etag is 12", list.items, undefined])
})

test("what was sent twice and is refused then may have been done before", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const pushed = client.push(path, {})
  first.answer("push", { index: 12, version: 12 })
  const refused = failure((await pushed).update({}, { ifMatch: "12" }))
  await first.lost()
  await stage.pass(1)
  await stage.last.open({ resumed: true, index: 14, items: [{ path, version: 12 }] })
  stage.last.answer("update", { code: "PreconditionFailed", message: "", index: 14, etag: "13", items: [] })
  assert.equal((await refused).applied, "unknown")
})

test("a caller's signal: before, while it waits, and when it was sent", async t => {
  const stage = new Stage(t)
  const client = await stage.connect()
  assert.equal((await failure(client.push(path, {}, { signal: AbortSignal.abort() }))).name, "AbortError")
  const stop = new AbortController()
  const waits = failure(client.push(path, {}, { signal: stop.signal }))
  stop.abort()
  assert.equal((await waits).name, "AbortError")
  await stage.last.open()
  stage.last.silent("push")
  const again = new AbortController()
  const sent = failure(client.push(path, {}, { signal: again.signal }))
  again.abort()
  assert.equal((await sent).name, "AbortError")
  stage.last.answer("push", { index: 12, version: 12 })
  assert.equal(stage.last.asked("remove").version, 12, "nobody holds it, so it must not stay")
})

test("update and remove: one update of an item under way, the newest waits", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const pushed = client.push(path, { n: 0 })
  socket.answer("push", { index: 12, version: 12 })
  const held = await pushed
  const updates = [1, 2, 3].map(n => held.update({ n }))
  const { rid, version, data } = socket.asked("update")
  assert.deepEqual([version, data], [12, { n: 1 }])
  socket.silent("update")
  socket.say({ rid, code: "OK", index: 13, etag: "13" })
  await settle()
  assert.deepEqual(held.data, { n: 1 })
  assert.deepEqual(socket.answer("update", { index: 14, etag: "14" }).data, { n: 3 })
  socket.silent("update")
  assert.deepEqual((await Promise.all(updates)).map(told => told.etag), ["13", "14", "14"])
  assert.deepEqual(held.data, { n: 3 })
  const gone = held.remove()
  socket.answer("remove", { index: 15, etag: "0" })
  await gone
  assert.equal(held.held, false)
  assert.equal((await failure(held.update({}))).code, "NotFound")
})

test("updates with conditions are not merged", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  const pushed = client.push(path, {})
  socket.answer("push", { index: 12, version: 12 })
  const held = await pushed
  const done = Promise.all([1, 2, 3].map(n => held.update({ n }, { ifMatch: String(n) })))
  for (const n of [1, 2, 3]) {
    assert.equal(socket.answer("update", { index: 12 + n }).ifMatch, String(n))
    await settle()
  }
  await done
})

test("a message over the limit ends with TooLarge, and the others go on", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const small = client.push(path, { n: 1 }), large = failure(client.push(path, { n: "x".repeat(1000) }))
  await first.lost(1009)
  assert.equal((await large).code, "TooLarge")
  await stage.pass(1)
  await stage.last.open({ resumed: true })
  stage.last.answer("push", { index: 12, version: 12 })
  assert.equal((await small).version, 12)
  stage.last.silent("push")
})

test("a read knows what this client was told, and is asked again when its connection is lost", async t => {
  const stage = new Stage(t)
  const [client, first] = await stage.joined()
  const pushed = client.push(path, {})
  first.answer("push", { index: 42, version: 42 })
  await pushed
  const got = client.get(path, { limit: 1, consistent: true })
  const { minIndex, limit, consistent } = first.asked("get")
  assert.deepEqual([minIndex, limit, consistent], [42, 1, true])
  client.get(path, { minIndex: 7 }).catch(() => {})
  assert.equal(first.asked("get").minIndex, 7)
  await first.lost()
  await stage.pass(1)
  await stage.last.open({ resumed: true, index: 50, items: [{ path, version: 42 }] })
  stage.last.answer("get", { index: 50, etag: "42", total: 2, items: [item(42)] })
  assert.deepEqual((await got).items, [item(42)])
})

test("no more changes are under way than the server remembers", async t => {
  const stage = new Stage(t)
  const [client, socket] = await stage.joined()
  for (let n = 0; n < 600; n++) client.push(path, { n }).catch(() => {})
  assert.equal(socket.sent.filter(m => m.action === "push").length, 256)
  socket.answer("push", { index: 11, version: 11 })
  assert.equal(socket.sent.filter(m => m.action === "push").length, 256)
})
