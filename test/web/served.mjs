// Uses the client as a peer serves it, with the WebSocket of the package ws.
import assert from "node:assert/strict"
import WebSocket from "ws"

const { connect } = await import(process.env.SCRIPT)
const vera = connect(process.env.VERA, { WebSocket, graceMs: 3000 })
await vera.ready
const item = await vera.push("/data/served", { n: 1 })
await item.update({ n: 2 })
for await (const list of vera.watch("/data/served")) {
  assert.deepEqual(list.items.map(i => [i.version, i.data]), [[item.version, { n: 2 }]])
  break
}
const election = vera.elect("/data/served/leader", {})
const { fence } = await new Promise(resolve => election.on("elected", resolve))
assert.ok(election.leading && fence > item.version)
await vera.close()
assert.equal(election.leading, false)
console.log("works")
