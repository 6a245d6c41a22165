// Drives Chromium through what a page can do with a peer. What went wrong ends
// this program with an exception; what happened is printed as one JSON object.
import assert from "node:assert/strict"
import { chromium } from "playwright-core"

const { VERA, PAGES, STRANGER, CHROMIUM } = process.env
const grace = 2500
const socket = query => VERA.replace("http", "ws") + `/connect?graceMs=${grace}&heartbeatMs=1000` + query
const address = (origin, query = "") => `${origin}/page.html#${encodeURIComponent(socket(query))}`

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
})

// until waits for something that the page saw.
const until = (page, test) => page.waitForFunction(test, null, { timeout: 15_000 })
const seen = page => page.evaluate(() => seen)

async function open(context, url) {
  const page = await context.newPage()
  await page.goto(url)
  await until(page, () => seen.items?.some(item => item.version === seen.item))
  return page
}

async function oneTab() {
  const context = await browser.newContext()
  const page = await open(context, address(PAGES))
  const first = await seen(page)
  assert.equal(first.session.resumed, false)
  const cookies = await context.cookies(VERA)
  assert.equal(cookies.length, 1)
  assert.match(cookies[0].name, /^vera-[0-9a-f]{8}$/)
  assert.ok(cookies[0].httpOnly && cookies[0].sameSite === "Lax")

  await page.reload()
  await until(page, () => seen.session && seen.items)
  const second = await seen(page)
  assert.equal(second.session.resumed, true)
  assert.equal(second.session.session, first.session.session)
  assert.equal(second.item, first.item)
  assert.ok(second.items.some(item => item.version === first.item), "the watch came back by itself")

  // Until its grace is over the reloaded connection is in doubt, and a close
  // would have to wait for it: this time must pass.
  await page.waitForTimeout(grace + 200)
  await page.evaluate(() => ws.close())
  await until(page, () => seen.closed)
  assert.ok((await seen(page)).closed.clean)
  await context.close()
  return first.item
}

async function twoTabs() {
  const context = await browser.newContext()
  const a = await open(context, address(PAGES, "&client=tab-a"))
  const b = await open(context, address(PAGES, "&client=tab-b"))
  const [ofA, ofB] = [await seen(a), await seen(b)]
  assert.notEqual(ofA.session.session, ofB.session.session)
  assert.equal((await context.cookies(VERA)).length, 1)
  await a.evaluate(() => ws.close())
  await b.waitForFunction(version => !seen.items.some(item => item.version === version), ofA.item, { timeout: 15_000 })
  assert.ok((await seen(b)).items.some(item => item.version === ofB.item))
  await b.close()
  await context.close()
  return { closed: ofA.item, lost: ofB.item }
}

async function stranger() {
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(address(STRANGER))
  await until(page, () => seen.closed)
  const { session, closed } = await seen(page)
  assert.equal(session, null)
  assert.equal(closed.code, 1006)
  assert.equal((await context.cookies(VERA)).length, 0)
  const read = await page.evaluate(url => fetch(url).then(r => r.status, e => e.name), VERA + "/data/browser")
  assert.equal(read, "TypeError", "a page of another origin reads nothing")
  await context.close()
}

async function sameOrigin() {
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(VERA + "/session")
  assert.equal((await context.cookies(VERA)).length, 1)
  const told = await page.evaluate(async () => {
    const ws = new WebSocket(`ws://${location.host}/connect`)
    const message = () => new Promise((resolve, reject) => {
      ws.onmessage = e => resolve(JSON.parse(e.data))
      ws.onclose = e => reject(new Error("closed with " + e.code))
    })
    await new Promise((resolve, reject) => { ws.onopen = resolve; ws.onerror = reject })
    const events = new EventSource("/data/same")
    const event = () => new Promise(resolve => events.addEventListener("notify", e => resolve(JSON.parse(e.data)), { once: true }))
    const began = await event()
    const next = event()
    ws.send(JSON.stringify({ rid: 1, action: "push", path: "/data/same", data: { "<b>": "1e999" } }))
    const answer = await message()
    const notified = await next
    const read = await (await fetch("/data/same")).json()
    events.close()
    ws.send(JSON.stringify({ rid: 2, action: "close" }))
    const goodbye = await message()
    const code = await new Promise(resolve => { ws.onclose = e => resolve(e.code) })
    return { began, answer, notified, read, goodbye, code }
  })
  assert.deepEqual(told.began.items, [])
  assert.equal(told.began.reset, true)
  assert.equal(told.notified.added[0].version, told.answer.version)
  assert.deepEqual(told.read.items, told.answer.items)
  assert.equal(told.goodbye.code, "OK")
  assert.equal(told.code, 1000)
  await context.close()
}

try {
  const item = await oneTab()
  const tabs = await twoTabs()
  await stranger()
  await sameOrigin()
  console.log(JSON.stringify({ item, ...tabs }))
} finally {
  await browser.close()
}
