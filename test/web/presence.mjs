// Three tabs of the example presence. What went wrong ends this program with an
// exception; what took its time is printed.
import assert from "node:assert/strict"
import { stat } from "node:fs/promises"
import { ask, launch, run, until, whileDown, Wire } from "./stage.mjs"
import { Tab, told, unharmed } from "./tab.mjs"

const { PAGE, GRACE, IMAGES } = process.env
const browser = await launch()
const context = await browser.newContext({ viewport: { width: 640, height: 420 } })
const wire = await Wire.to(PAGE)
let a, b, c

async function picture({ page }, name) {
  const path = `${IMAGES}/presence-${name}.png`
  await page.waitForTimeout(400) // cursors and colours are on their way until then
  await page.screenshot({ path })
  const { size } = await stat(path)
  assert.ok(size < 60 << 10, `${path} has ${size} bytes`)
}

async function join() {
  a = await Tab.open(context, PAGE, "Ada")
  b = await Tab.open(context, PAGE, "Ben")
  c = await Tab.open(context, wire.url, "Cleo")
  for (const tab of [a, b, c]) await tab.sees("Ada", "Ben", "Cleo")
  for (const tab of [a, b]) assert.deepEqual(await tab.people(), await c.people())
  assert.equal(new Set([a.version, b.version, c.version]).size, 3)
  assert.equal((await context.cookies(PAGE)).length, 1, "one cookie for all tabs")
}

async function status() {
  await a.says("writes a report")
  await b.says("<b>reads</b> it")
  for (const tab of [a, b, c]) {
    await tab.reads(a, "writes a report")
    await tab.reads(b, "<b>reads</b> it")
  }
  await unharmed(a, b, c)
}

async function cursors() {
  await c.says("listens")
  await a.points(0.2, 0.75)
  await b.points(0.5, 0.85)
  await c.points(0.8, 0.7)
  await b.follows(a, 0.2, 0.75)
  await b.follows(c, 0.8, 0.7)
  await c.follows(b, 0.5, 0.85)
  await picture(b, "three")

  const before = a.updates, began = Date.now()
  await a.page.evaluate(async () => {
    for (let x = 1; x <= 300; x++) {
      dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: 210 }))
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  })
  await b.follows(a, 300 / 640, 210 / 420)
  const ms = Date.now() - began, sent = a.updates - before
  console.log(`300 moves of a mouse in ${ms} ms were ${sent} updates`)
  assert.ok(sent <= ms / 100 + 2, "ten a second at most")
}

async function reload() {
  await unharmed(a, b, c)
  const { version } = a
  await a.page.reload()
  await a.here()
  assert.equal(a.version, version, "the same item")
  await a.sees("Ada", "Ben", "Cleo")
  assert.equal(await a.page.inputValue("#status"), "writes a report")
  await told("reloaded", a, b)
  await unharmed(a, b, c)
}

// A tab that is duplicated has a copy of what the other one remembers, and yet
// is somebody of its own.
async function duplicate() {
  const opened = context.waitForEvent("page")
  await a.page.evaluate(() => { open(location) })
  const twin = new Tab(await opened)
  await twin.here()
  assert.notEqual(twin.version, a.version)
  for (const tab of [a, b, c, twin]) await tab.sees("Ada", "Ben", "Cleo", "Ada")
  await told("both", a, twin)
  await twin.says("the other one")
  await b.reads(twin, "the other one")
  await b.reads(a, "both")
  await twin.page.close()
  await b.sees("Ada", "Ben", "Cleo")
  assert.deepEqual(await b.left(), [twin.version])
}

async function close() {
  await c.page.close()
  const began = Date.now()
  await b.sees("Ada", "Ben")
  const ms = Date.now() - began
  console.log(`a closed tab was gone after ${ms} ms; the grace is ${GRACE} ms`)
  assert.ok(ms < Number(GRACE) + 2000)
  c = await Tab.open(context, wire.url, "Cleo")
  for (const tab of [a, b]) await tab.sees("Ada", "Ben", "Cleo")
  for (const tab of [a, b]) await tab.page.evaluate(() => { left = [] })
}

// offline takes a tab off the net: its wire is cut, and Chromium says so.
async function offline(tab, meanwhile) {
  const tools = await context.newCDPSession(tab.page)
  const emulate = offline => tools.send("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 })
  await whileDown(async () => {
    wire.cut = true
    await emulate(true)
    assert.equal(await tab.page.evaluate(() => navigator.onLine), false)
    await meanwhile()
    wire.mend()
    await emulate(false)
  })
  await tools.detach()
}

async function offlineForAMoment() {
  await offline(c, async () => {
    await a.says("is Cleo there?")
    await b.reads(a, "is Cleo there?")
    await c.says("yes") // is not lost: it is told when there is a way
  })
  await c.reads(a, "is Cleo there?")
  await a.reads(c, "yes")
  await unharmed(a, b, c)
}

async function offlineForLong() {
  const { version } = c
  await offline(c, () => a.sees("Ada", "Ben"))
  await until(c.page, () => document.getElementById("news").textContent.includes("was lost (expired)"))
  await until(c.page, version => { // a new one, and not the old one again
    const own = [...document.querySelectorAll("li.me")]
    return own.length === 1 && own[0].dataset.version > Number(version)
  }, version)
  c.version = await c.page.locator("li.me").getAttribute("data-version")
  for (const tab of [a, b, c]) await tab.sees("Ada", "Ben", "Cleo")
  for (const tab of [a, b]) assert.deepEqual(await tab.left(), [version])
  await told("again", a, b, c)
  await picture(c, "lost")
}

async function peerKilled() {
  for (const tab of [a, b, c]) await tab.page.evaluate(() => { left = []; document.getElementById("news").textContent = "" })
  await whileDown(async () => {
    await ask("kill")
    for (const tab of [a, b, c]) await tab.state("connecting")
    await picture(a, "away")
    await a.says("still here")
    await ask("restart")
    for (const tab of [a, b, c]) await tab.state("connected")
  })
  for (const tab of [a, b, c]) await tab.reads(a, "still here")
  await told("after the restart", a, b, c)
  await unharmed(a, b, c)
}

await run(browser, async () => {
  for (const part of [join, status, cursors, reload, duplicate, close, offlineForAMoment, offlineForLong, peerKilled]) {
    console.log(part.name)
    await part()
  }
  wire.close()
})
