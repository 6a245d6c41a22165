// A tab of a browser that shows the example presence.
import assert from "node:assert/strict"
import { listen, until } from "./stage.mjs"

export class Tab {
  updates = 0 // that it sent
  static async open(context, url, name) {
    const tab = new Tab(await context.newPage())
    await tab.page.goto(url)
    await tab.here()
    await tab.page.fill("#name", name)
    return tab
  }
  constructor(page) {
    this.page = page
    listen(page)
    page.on("websocket", socket => socket.on("framesent", ({ payload }) => this.updates += payload.includes('"update"')))
  }
  // here waits until the tab has an entry.
  async here() {
    this.version = await (await until(this.page, () => document.querySelector("li.me")?.dataset.version)).jsonValue()
    await this.page.evaluate(() => {
      window.left = [] // entries that went, of which this tab was told
      const observer = new MutationObserver(all => all.forEach(m => m.removedNodes.forEach(row => left.push(row.dataset.version))))
      observer.observe(document.getElementById("people"), { childList: true })
    })
  }
  left() { return this.page.evaluate(() => left) }
  people() {
    return this.page.evaluate(() => [...document.querySelectorAll("li")].map(row => ({
      version: row.dataset.version, name: row.querySelector(".name").textContent, status: row.querySelector(".status").textContent,
    })))
  }
  // sees waits until the tab shows these people, in this order, and nobody else.
  sees(...names) {
    return until(this.page, names => names === [...document.querySelectorAll("li .name")].map(e => e.textContent).join(), names.join())
  }
  // reads waits until the tab shows what another one has for a status.
  reads({ version }, status) {
    return until(this.page, ([version, status]) => document.querySelector(`li[data-version="${version}"] .status`)?.textContent === status, [version, status])
  }
  state(...wanted) { return until(this.page, wanted => wanted.includes(document.getElementById("state").dataset.state), wanted) }
  says(status) { return this.page.fill("#status", status) }
  // points moves the mouse there, in parts of the window.
  points(x, y) {
    const { width, height } = this.page.viewportSize()
    return this.page.mouse.move(x * width, y * height)
  }
  // follows waits until the tab shows another one's mouse there.
  follows({ version }, x, y) {
    return until(this.page, ([version, x, y]) => {
      const cursor = document.querySelector(`.cursor[data-version="${version}"]`)
      if (!cursor || cursor.hidden) return false
      const at = new DOMMatrix(getComputedStyle(cursor).transform)
      return Math.abs(at.e - x * innerWidth) <= 2 && Math.abs(at.f - y * innerHeight) <= 2
    }, [version, x, y])
  }
}

// unharmed checks that everybody has the entry they had, and saw no other go.
export async function unharmed(...tabs) {
  for (const tab of tabs) {
    assert.deepEqual(await tab.left(), [])
    assert.equal(await tab.page.locator("li.me").getAttribute("data-version"), tab.version)
    assert.equal(await tab.page.textContent("#news"), "")
  }
}

// told checks that what each one says is read by all.
export async function told(word, ...tabs) {
  for (const tab of tabs) {
    await tab.says(word)
    for (const other of tabs) await other.reads(tab, word)
  }
}
