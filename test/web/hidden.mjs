// Tabs that are not seen: what a browser does to their timers, and what the
// client makes of it.
import assert from "node:assert/strict"
import { eventually, launch, run, Wire } from "./stage.mjs"

const { VERA, GRACE } = process.env
const grace = Number(GRACE)
// Playwright has no tab be hidden. A tab of the browser's own can be.
const browser = await launch({
  without: ["--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding"],
  args: ["--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/5"], // instead of 5 minutes
})
const tools = await browser.newBrowserCDPSession()
const { browserContextId } = await tools.send("Target.createBrowserContext")

// Tab is a tab that is seen until another one is opened or shown.
class Tab {
  asked = 0
  static async open(url) {
    const tab = new Tab(), { targetId } = await tools.send("Target.createTarget", { url: url + "vera.js", browserContextId })
    tab.sessionId = (await tools.send("Target.attachToTarget", { targetId, flatten: false })).sessionId
    await eventually("the page", () => tab.run("location.pathname === '/vera.js' && document.readyState === 'complete'"))
    await tab.run(`import("/vera.js").then(({ connect }) => {
      window.vera = connect(undefined, { graceMs: ${grace} })
      return vera.ready
    })`)
    return tab
  }
  send(method, params = {}) {
    return new Promise((resolve, reject) => {
      const id = ++this.asked, hear = ({ sessionId, message }) => {
        const { id: of, error, result } = JSON.parse(message)
        if (sessionId !== this.sessionId || of !== id) return
        tools.off("Target.receivedMessageFromTarget", hear)
        error ? reject(new Error(error.message)) : resolve(result)
      }
      tools.on("Target.receivedMessageFromTarget", hear)
      tools.send("Target.sendMessageToTarget", { sessionId: this.sessionId, message: JSON.stringify({ id, method, params }) }).catch(reject)
    })
  }
  async run(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true })
    assert.equal(exceptionDetails, undefined, exceptionDetails?.exception?.description)
    return result.value
  }
  do(statements) { return this.run(`{ ${statements} } undefined`) }
  show() { return this.send("Page.bringToFront") }
  // stands has the tab stand for election, and note what it is told.
  stands(path) {
    return this.do(`
      window.told = []
      window.election = vera.elect("${path}", {})
      for (const event of ["elected", "suspended", "lost"]) election.on(event, ({ reason }) => told.push(reason ?? event))`)
  }
}

const path = "/data/hidden", news = "/data/hidden/news"
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))
const wire = await Wire.to(VERA)

await run(browser, async () => {
  const plain = await Tab.open(wire.url)
  const { version, session } = await plain.run(`vera.push("${path}/plain", {}).then(item => (window.item = item, { version: item.version, session: vera.session }))`)
  const leader = await Tab.open(wire.url)
  await leader.stands(path)
  await eventually("a leader", () => leader.run("election.leading"))
  await leader.do(`
    window.delays = []
    vera.watch("${news}", ({ added }) => { for (const { data } of added) delays.push(Date.now() - data.at) })`)

  const seen = await Tab.open(VERA + "/")
  await seen.stands(path)
  for (const tab of [plain, leader]) {
    assert.equal(await tab.run("document.visibilityState"), "hidden")
    await tab.do("const beat = () => { window.last = Date.now(); setTimeout(beat, 100) }; beat()")
  }
  const rounds = 12
  for (let n = 0; n < rounds; n++) {
    await pause(2000)
    await seen.run(`vera.push("${news}", { at: Date.now() }).then(item => item.version)`)
  }
  for (const tab of [plain, leader]) {
    const still = Date.now() - await tab.run("last")
    assert.ok(still > 10_000, `timers that are set by timers go on after ${still} ms: nothing is shown`)
  }
  const { delays, told, leading } = await leader.run("({ delays, told, leading: election.leading })")
  assert.deepEqual([told, leading], [["elected"], true], "who leads in a hidden tab goes on leading")
  assert.equal(delays.length, rounds)
  assert.ok(Math.max(...delays) < 1000, `a hidden tab was told ${Math.max(...delays)} ms late`)
  console.log(`hidden, with timers stopped: told within ${Math.max(...delays)} ms, and led on`)
  assert.deepEqual(await plain.run("[item.held, item.version, vera.session, vera.state]"), [true, version, session, "connected"])

  // Nothing comes through any more, and nobody is told.
  const began = Date.now()
  wire.cut = true
  await eventually("another leader", () => seen.run("election.leading"))
  assert.equal(await leader.run("election.leading"), false, "two lead")
  console.log(`hidden, cut off: another led ${Date.now() - began} ms later; the grace is ${grace} ms`)
  await eventually("the hidden leader to miss its peer", () => leader.run("vera.state !== 'connected'"))
  await eventually("the plain tab's item to be gone", async () => (await (await fetch(VERA + path + "/plain")).json()).items.length === 0)

  wire.mend()
  await leader.show()
  assert.equal(await leader.run("document.visibilityState"), "visible")
  await eventually("the tab that is seen again", () => leader.run("vera.state === 'connected' && !election.leading && told.includes('expired')"))
  await plain.show()
  await eventually("the plain tab, too", () => plain.run("vera.state === 'connected' && !item.held"))
  assert.ok(await seen.run("election.leading"))
  wire.close()
})
