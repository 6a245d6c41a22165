// Drives the JavaScript client as main.go does the Go client: it does what JSON
// lines on its standard input say, and tells by JSON lines what happened.
import { createInterface } from "node:readline"
import { connect } from "vera"

const say = line => process.stdout.write(JSON.stringify(line) + "\n")
const refusal = ({ code, message }) => ({ code: code ?? "", message })
const held = new Map() // version → item
let vera

const actions = {
  async connect({ urls, graceMs, heartbeatMs, local, connections }) {
    vera = connect(urls, { graceMs, heartbeatMs, local, connections })
    vera.on("state", ({ state, error }) => say({ event: "state", state, reason: error?.message }))
    await vera.ready
  },
  async push({ path, data }) {
    const item = await vera.push(path, data, { limit: 0 })
    held.set(item.version, item)
    item.on("lost", ({ reason }) => say({ event: "lost", version: item.version, reason }))
    return { version: item.version }
  },
  async update({ version, data }) { await held.get(version).update(data) },
  async remove({ version }) { await held.get(version).remove() },
  watch({ path }) {
    const follow = async () => {
      for await (const list of vera.watch(path)) say({ event: "list", list })
    }
    follow().catch(error => say({ event: "list", error: refusal(error) }))
  },
  async get({ path }) { return { listing: await vera.get(path) } },
  async elect({ path, data }) {
    const election = vera.elect(path, data)
    const { fence } = await new Promise((resolve, reject) => {
      election.on("elected", ({ fence }) => say({ event: "elected", fence }))
      election.on("lost", ({ fence, final, reason, error }) => {
        say({ event: "over", fence, final, reason })
        reject(error ?? new Error("lost: " + reason))
      })
      const asked = setInterval(() => {
        if (election.fence) resolve(election)
        const before = Date.now(), leading = election.leading, after = Date.now()
        if (leading) say({ event: "leads", fence: election.fence, before, after })
        else if (election.state === "lost" && !election.item?.held) clearInterval(asked)
      }, 10)
    })
    return { version: fence }
  },
  state: () => ({ state: vera.state, session: vera.session }),
  close: () => vera.close(),
}

createInterface({ input: process.stdin }).on("line", async text => {
  const { rid, do: action, ...rest } = JSON.parse(text)
  try {
    say({ rid, ...await actions[action](rest) })
  } catch (error) {
    say({ rid, error: refusal(error) })
  }
}).on("close", () => process.exit()) // whoever drove it is gone
