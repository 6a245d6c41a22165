// What a caller gives goes out as it is, and comes back so: every path and
// every message of the vectors that Vera accepts.
import assert from "node:assert/strict"
import { test } from "node:test"
import { settle } from "./stage.mjs"
import { begin, vectors } from "./theatre.mjs"

// text is a text of the vectors.
const text = v => [v].flat().map(piece => typeof piece === "string" ? piece : piece.repeat.repeat(piece.times)).join("")

// join returns a client, and all that it sends.
function join(t) {
  const [, theatre] = begin(t), sent = [], { hear } = theatre
  theatre.hear = (socket, m) => (sent.push(m), hear.call(theatre, socket, m))
  return { client: theatre.client(), sent }
}

for (const v of vectors("paths.json").filter(v => v.path)) test(`path ${v.in}: ${JSON.stringify(v.text)}`, async t => {
  const { client, sent } = join(t), path = text(v.path), told = []
  client.watch(path, ({ path }) => told.push(path))
  const item = client.push(path, {})
  client.get(path)
  await settle()
  assert.deepEqual(sent.filter(m => m.path === path).map(m => m.action).sort(), ["get", "push", "watch"])
  assert.deepEqual([told, (await item).path], [[path], path])
})

const pushes = vectors("requests.json").filter(v => v.request?.action === "push")
for (const v of pushes) test(`request: ${v.name}`, async t => {
  const { client, sent } = join(t), { path, data, once, limit, ifMatch } = v.request
  const given = JSON.parse(text(data)), item = client.push(text(path), given, { once: once && text(once), limit, ifMatch })
  await settle()
  const message = sent.find(m => m.action === "push")
  const written = JSON.stringify(given) // a script has no numbers of more than 17 digits
  assert.equal(JSON.stringify(message.data), written)
  assert.deepEqual([message.path, message.limit, message.ifMatch], [text(path), limit, ifMatch])
  if (once) assert.equal(message.once, text(once))
  assert.equal(JSON.stringify((await item).data), written)
})

test("there are vectors to run", () => assert.ok(pushes.length >= 10, `${pushes.length} pushes`))
