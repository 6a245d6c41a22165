// What the programs with a browser have in common.
import assert from "node:assert/strict"
import { createInterface } from "node:readline"
import net from "node:net"
import { chromium } from "playwright-core"

export const launch = ({ without = [], args = [] } = {}) => chromium.launch({
  executablePath: process.env.CHROMIUM,
  ignoreDefaultArgs: without,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", ...args],
})

// ask has the test do what only it can, and waits until that is done.
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
export async function ask(what) {
  console.log(what)
  await answers.next()
}

// run runs a program and ends the browser.
export async function run(browser, program) {
  try {
    await program()
    assert.deepEqual(wrong, [], "what pages wrote to their consoles")
  } finally {
    await browser.close()
    process.stdin.destroy()
  }
}

// What went wrong in any page. Of connections that fail Chromium writes to the
// console whatever a page does: that counts unless a peer is down.
const wrong = []
let down = false
export async function whileDown(program) {
  down = true
  await program()
  down = false
}
export function listen(page) {
  page.on("pageerror", error => wrong.push(error.stack))
  page.on("console", message => {
    if (message.location().url.endsWith("/favicon.ico") || message.text().endsWith("failed: Page entered Back-Forward Cache.")) return
    const ofChromium = /^Failed to load resource|^WebSocket connection to .* failed|has been blocked by CORS policy/.test(message.text())
    if (["error", "warning"].includes(message.type()) && !(down && ofChromium)) wrong.push(message.text())
  })
}

// until waits for something that a page shows.
export const until = (page, test, arg) => page.waitForFunction(test, arg, { timeout: 20_000, polling: 50 }).catch(async error => {
  const shown = await page.evaluate(() => document.body.innerText)
  throw new Error(`waited in vain for ${test} of ${JSON.stringify(arg)}, but there was: ${shown}`, { cause: error })
})

// eventually waits for something that this program can find out.
export async function eventually(what, holds) {
  for (const end = Date.now() + 20_000; !await holds(); await new Promise(resolve => setTimeout(resolve, 20))) {
    assert.ok(Date.now() < end, what)
  }
}

// Wire is a link of its own between a tab and the page's server. While it is
// cut nothing comes through, and nobody is told. When it is mended what was
// open is gone, as for a machine that has a new address.
export class Wire {
  sockets = new Set()
  cut = false
  static async to(url) {
    const wire = new Wire(), { hostname, port } = new URL(url)
    wire.server = net.createServer(near => wire.join(near, net.connect(port, hostname)))
    await new Promise(resolve => wire.server.listen(0, "127.0.0.1", resolve))
    wire.url = `http://127.0.0.1:${wire.server.address().port}/`
    return wire
  }
  join(near, far) {
    for (const [a, b] of [[near, far], [far, near]]) {
      this.sockets.add(a)
      a.on("data", bytes => this.cut || b.write(bytes))
      a.on("error", () => {}) // a close follows
      a.on("close", () => {
        this.sockets.delete(a)
        if (!this.cut) b.destroy()
      })
    }
  }
  mend() {
    this.cut = false
    for (const socket of this.sockets) socket.destroy()
  }
  close() {
    this.mend()
    this.server.close()
  }
}
