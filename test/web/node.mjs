// Drives a peer with the WebSocket client of the package ws. What went wrong
// ends this program with an exception.
import assert from "node:assert/strict"
import WebSocket from "ws"

const { VERA } = process.env

// connect opens a connection whose messages are waited for one after the other.
async function connect(query = "", headers = {}) {
  const ws = new WebSocket(VERA.replace("http", "ws") + "/connect" + query, { headers })
  const c = { ws, messages: [], waiting: [], pings: 0, cookie: headers.Cookie }
  ws.on("upgrade", response => {
    const set = response.headers["set-cookie"]?.[0]
    if (set) c.cookie = set.split(";")[0]
    c.extensions = response.headers["sec-websocket-extensions"]
    c.protocol = response.headers["sec-websocket-protocol"]
  })
  ws.on("ping", () => c.pings++)
  ws.on("message", text => {
    const m = JSON.parse(text)
    c.waiting.length ? c.waiting.shift()(m) : c.messages.push(m)
  })
  c.next = () => new Promise(resolve => c.messages.length ? resolve(c.messages.shift()) : c.waiting.push(resolve))
  c.ask = message => { ws.send(JSON.stringify(message)); return c.next() }
  c.closed = new Promise(resolve => ws.on("close", (code, reason) => resolve({ code, reason: reason.toString() })))
  await new Promise((resolve, reject) => { ws.on("open", resolve); ws.on("error", reject) })
  return c
}

const path = "/data/node"
const watcher = await connect()
assert.deepEqual((await watcher.ask({ rid: 1, action: "watch", path })).items, [])
assert.equal(watcher.extensions, undefined, "permessage-deflate was offered and must not be taken")

const c = await connect("?heartbeatMs=250&graceMs=1500")
assert.match(c.cookie, /^vera-/)
const pushed = await c.ask({ rid: "p", action: "push", path, data: { n: 1.5, text: "\u00e4\ud83d\ude00" } })
assert.equal(pushed.code, "OK")
assert.equal(pushed.items[0].data.text, "\u00e4\ud83d\ude00")
assert.equal((await watcher.next()).added[0].version, pushed.version)

// Time passes, in which nothing is said but what the library answers to pings.
await new Promise(resolve => c.ws.on("ping", () => { if (c.pings >= 5) resolve() }))
assert.equal((await c.ask({ rid: "s", action: "session" })).items.length, 1)

c.ws.terminate()
const again = await connect("", { Cookie: c.cookie })
const session = await again.ask({ rid: "s", action: "session" })
assert.equal(session.resumed, true)
assert.equal(session.items[0].version, pushed.version)

again.ws.close()
assert.ok([1000, 1005].includes((await again.closed).code)) // its Close frame had no code
// The connection that was lost is still in its grace: in doubt the grace holds.
assert.equal((await watcher.next()).removed[0].reason, "expired")

const brief = await connect()
const item = await brief.ask({ rid: "p", action: "push", path, data: {} })
assert.equal((await watcher.next()).added[0].version, item.version)
brief.ws.close()
await brief.closed
assert.equal((await watcher.next()).removed[0].reason, "closed")

const large = await connect()
large.ws.send("x".repeat((256 << 10) + 1))
assert.equal((await large.closed).code, 1009)
const binary = await connect()
binary.ws.send(Buffer.from("{}"))
assert.equal((await binary.closed).code, 1003)
const ended = await connect()
assert.equal((await ended.ask({ rid: 1, action: "close" })).code, "OK")
assert.equal((await ended.closed).code, 1000)

const versioned = new WebSocket(VERA.replace("http", "ws") + "/connect", ["vera-0"])
await new Promise((resolve, reject) => { versioned.on("open", resolve); versioned.on("error", reject) })
assert.equal(versioned.protocol, "vera-0")
versioned.close(1000, "done")
assert.equal(await new Promise(resolve => versioned.on("close", resolve)), 1000)

watcher.ws.close(1000)
assert.equal((await watcher.closed).code, 1000)
