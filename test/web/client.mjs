// The JavaScript client in Chromium, as a peer serves it: what only a browser
// can show. What went wrong ends this program with an exception.
import assert from "node:assert/strict"
import { eventually, launch, listen, run, until, whileDown, Wire } from "./stage.mjs"

const { VERA, PAGES, STRANGER, GRACE } = process.env
const browser = await launch({ without: ["--disable-back-forward-cache"] })
const grace = Number(GRACE)

// open opens a page that has imported the client.
async function open(context, at = PAGES + "/blank.html", from = VERA) {
  const page = await context.newPage()
  listen(page)
  await page.goto(at)
  await load(page, from)
  return page
}
const load = (page, from = VERA) => page.evaluate(async url => { window.lib = await import(url) }, from + "/vera.js")

// join has a page connect and push, and returns what it got.
const join = (page, path, options) => page.evaluate(async ([path, options]) => {
  window.vera = lib.connect(undefined, options)
  await vera.ready
  window.item = path && await vera.push(path, {})
  window.lost = []
  if (path) item.on("lost", ({ reason }) => lost.push(reason))
  return { session: vera.session, version: item?.version }
}, [path, options])
const list = async path => (await (await fetch(VERA + path)).json()).items.map(item => item.version)

// Without urls the client goes where it was had from; pages may be elsewhere.
async function urls() {
  const context = await browser.newContext()
  const page = await open(context)
  const { version } = await join(page, "/data/urls")
  assert.deepEqual(await list("/data/urls"), [version])
  assert.equal((await context.cookies(VERA)).length, 1)
  await page.evaluate(() => vera.close())
  assert.deepEqual(await list("/data/urls"), [], "close ends the session at once")

  const home = await open(context, VERA + "/vera.js", "") // a page of the peer's own
  const own = await join(home, "/data/urls")
  assert.deepEqual(await list("/data/urls"), [own.version])

  await whileDown(async () => { // for a page that may not
    const stranger = await open(context, STRANGER + "/blank.html")
    await stranger.evaluate(() => {
      window.vera = lib.connect()
      vera.on("state", told => { window.told = told })
    })
    await until(stranger, () => vera._failures > 0)
    assert.notEqual(await stranger.evaluate(() => vera.state), "connected")
    await stranger.close()
  })
  await context.close()
}

async function labels() {
  const context = await browser.newContext(), path = "/data/labels"
  const [a, b] = [await open(context), await open(context)]
  const [ofA, ofB] = [await join(a, path), await join(b, path)]
  assert.notEqual(ofA.session, ofB.session, "each tab has a session")
  const second = await a.evaluate(async () => {
    window.second = lib.connect()
    await second.ready
    return second.session
  })
  assert.equal(new Set([ofA.session, ofB.session, second]).size, 3, "so has each client of a page")

  const opened = context.waitForEvent("page")
  await a.evaluate(() => { window.open(location) })
  const twin = await opened
  listen(twin)
  await load(twin)
  const ofTwin = await join(twin, path)
  assert.ok(![ofA.session, ofB.session, second].includes(ofTwin.session), "a duplicated tab is another one")

  for (const [page, was] of [[a, ofA], [twin, ofTwin], [a, ofA]]) {
    await page.reload()
    await load(page)
    assert.equal((await join(page)).session, was.session, "a reload is the same one")
  }
  assert.equal(await a.evaluate(async () => {
    const second = lib.connect()
    await second.ready
    return second.session
  }), second, "and its second client, too")
  assert.deepEqual(await list(path), [ofA.version, ofB.version, ofTwin.version])

  const shared = await Promise.all([a, b].map(page => join(page, undefined, { label: "" })))
  assert.equal(shared[0].session, shared[1].session, "without labels all tabs are one session")
  await context.close()
}

// A page that the browser keeps to go back to: within the grace it goes on, and
// later it is told what it lost.
async function back() {
  const context = await browser.newContext(), path = "/data/back"
  for (const long of [false, true]) {
    const page = await open(context)
    const { session, version } = await join(page, path)
    await page.evaluate(() => addEventListener("pageshow", event => { window.kept = event.persisted }))
    await page.goto(STRANGER + "/blank.html")
    if (long) await eventually("the item of a page that was left", async () => !(await list(path)).includes(version))
    await page.goBack({ waitUntil: "commit" })
    assert.equal(await page.evaluate(() => window.kept), true, "Chromium has kept the page")
    await until(page, long => vera.state === "connected" && lost.length === Number(long), long)
    assert.equal(await page.evaluate(() => item.held), !long)
    assert.equal(await page.evaluate(() => vera.session), session)
    assert.equal((await list(path)).includes(version), !long, "nothing is pushed again")
    await page.close()
  }
  await context.close()
}

// A page that Chromium has frozen runs no script, and lives.
async function frozen() {
  const context = await browser.newContext(), path = "/data/frozen"
  const [page, other] = [await open(context), await open(context)]
  const { version } = await join(page, path)
  await page.evaluate(path => {
    window.list = []
    vera.watch(path, ({ items }) => { list = items.map(i => i.version) })
  }, path)
  const tools = await context.newCDPSession(page)
  await tools.send("Page.setWebLifecycleState", { state: "frozen" })
  const late = await join(other, path)
  await other.waitForTimeout(grace + 3000) // longer than a machine that is gone would be believed
  assert.deepEqual(await list(path), [version, late.version])
  await tools.send("Page.setWebLifecycleState", { state: "active" })
  await until(page, version => vera.state === "connected" && item.held && list.includes(version), late.version)
  await context.close()
}

async function elections() {
  const context = await browser.newContext(), path = "/data/elections"
  const tabs = [await open(context), await open(context)]
  for (const tab of tabs) {
    await join(tab)
    await tab.evaluate(path => { window.election = vera.elect(path, {}) }, path)
    await until(tab, () => election.fence)
  }
  const [a, b] = tabs
  await until(a, () => election.leading)
  assert.deepEqual(await b.evaluate(() => [election.leading, election.state]), [false, "waiting"])
  const fence = await a.evaluate(() => election.fence)
  await a.close()
  const began = Date.now()
  await until(b, () => election.state === "elected")
  console.log(`the other tab led ${Date.now() - began} ms after the leader's was closed; the grace is ${grace} ms`)
  assert.ok(await b.evaluate(() => election.fence) > fence)
  await context.close()
}

// A page that only watches leaves nothing in the log, and misses nothing.
async function local() {
  const context = await browser.newContext(), path = "/data/local"
  const wire = await Wire.to(VERA)
  const [page, other] = [await open(context, wire.url + "vera.js", ""), await open(context)]
  await join(page, undefined, { local: true })
  await page.evaluate(path => {
    window.told = []
    vera.watch(path, ({ items, added, removed, reset }) => told.push({ items: items.map(i => i.version), added: added.length, removed: removed.length, reset: Boolean(reset) }))
  }, path)
  await until(page, () => told.length === 1)
  const { version } = await join(other, path)
  await until(page, () => told.length === 2)
  wire.mend() // its connection is lost
  await other.evaluate(() => item.remove())
  const { version: next } = await join(other, path)
  await until(page, next => told.at(-1).items.join() === String(next), next)
  const told = await page.evaluate(() => told)
  assert.deepEqual(told.slice(0, 2), [{ items: [], added: 0, removed: 0, reset: true }, { items: [version], added: 1, removed: 0, reset: false }])
  assert.ok(told.slice(1).every(t => !t.reset), "differences all the way")
  await context.close()
  wire.close()
}

await run(browser, async () => {
  for (const part of [urls, labels, back, frozen, elections, local]) {
    console.log(part.name)
    await part()
  }
})
