// Everything of the client's surface, as a strict compiler sees it.
import { connect, VeraError, type Election, type Item, type Listing, type State } from "vera"

interface Worker { name: string; busy?: boolean }

const stop = new AbortController()
const vera = connect(["http://127.0.0.1:8372"], { graceMs: 5000, heartbeatMs: 1000, label: "a", local: false, connections: "majority", signal: stop.signal })
const off: () => void = vera.on("state", ({ state, previous, error }) => console.log(state === previous, error?.message))
vera.on("session", ({ session, resumed }) => console.log(session, resumed))
vera.on("peers", ({ items }) => console.log(items.length))
await vera.ready
const state: State = vera.state
const item: Item<Worker> = await vera.push<Worker>("/data/workers", { name: "a" }, { ifMatch: "0", once: "word", limit: 0, signal: stop.signal })
item.on("lost", ({ reason }) => console.log(reason, item.path, item.version, item.data.name, item.held, item.list.etag))
const told: Listing = await item.update({ name: "a", busy: true }, { ifMatch: "1" })
await item.remove()
for await (const list of vera.watch<Worker>("/data/workers", { limit: 3 })) {
  console.log(list.items[0]?.data.busy, list.removed[0]?.reason, list.reset, list.total, told.index)
  break
}
const watch = vera.watch<Worker>("/data/workers", list => console.log(list.added.map(i => i.data.name)))
console.log(watch.items.length, (await vera.get<Worker>("/data/workers", { consistent: true, minIndex: 1 })).items[0]?.data.name)
watch.close()
const election: Election = vera.elect("/data/leader", {}, { signal: stop.signal })
election.on("elected", ({ fence }) => console.log(fence.toFixed(), election.leading, election.signal.aborted))
election.on("lost", ({ final, error }) => console.log(final, error instanceof VeraError && error.code))
await election.resign()
// @ts-expect-error there is no such event
vera.on("other", () => {})
// @ts-expect-error data is an object
await vera.push("/data/workers", 1)
console.log(state, vera.session, vera.peer, vera.leader, vera.cookie)
off()
await vera.close()
