/** A client of Vera. See README.md, and docs/PROTOCOL.md for what all of it means. */

/** What the server refused or could not do, or what became of a request. */
export class VeraError extends Error {
  /** A code of the protocol, such as `PreconditionFailed` or `SessionEnded`. */
  code: string
  /** Of a change that failed: `false` when it surely had no effect, `"unknown"` when it may have had one. */
  applied?: false | "unknown"
  /** The list as it is, where the answer had it. */
  listing?: Listing
}

export type Data = Record<string, unknown>

/** An item as the server tells it. */
export interface ListItem<T = Data> {
  readonly version: number
  readonly updated?: number
  readonly owner: string
  readonly session?: string
  readonly data: T
}

export interface Listing<T = Data> {
  index: number
  etag: string
  items: readonly ListItem<T>[]
  /** How many items the list has, where a limit cut. */
  total?: number
}

/** What a watch is told: the list as it is, and the exact difference to what it was told before. */
export interface Notification<T = Data> extends Listing<T> {
  path: string
  added: ListItem<T>[]
  updated: ListItem<T>[]
  /** Why an item left is told where the server saw it. */
  removed: { version: number; session?: string; reason?: "closed" | "expired" | "removed" | "ended" }[]
  /** True of the first one: everything is in `added`. */
  reset?: true
}

export type State = "connecting" | "connected" | "suspended" | "closed"

export interface Options {
  /** How long the session outlives a lost connection, in ms. */
  graceMs?: number
  /** After how much silence the server asks for a sign of life, in ms. */
  heartbeatMs?: number
  /** Tells sessions under one cookie apart. Default: one for each tab in a browser, none (`""`) elsewhere. */
  label?: string
  /** For many clients that only watch: their watches stay on the peer where they are. */
  local?: boolean
  /** Default: `"one"` in browsers, `"majority"` elsewhere. */
  connections?: "one" | "majority"
  /** `name=value`, of a session that goes on. Not in browsers, which keep their own. */
  cookie?: string
  /** More headers of each request. Not in browsers. */
  headers?: Record<string, string>
  /** Default: the global one, or that of the package ws. */
  WebSocket?: unknown
  fetch?: typeof fetch
  /** Closes the client. */
  signal?: AbortSignal
}

/** Opens a session; returns at once. urls: one server or several; default: where this module came from. */
export function connect(urls?: string | readonly string[], options?: Options): Client

export interface Client {
  readonly state: State
  /** The session's public id. */
  readonly session?: string
  /** The peer that tells the news, and the one that leads, as far as is known. */
  readonly peer?: string
  readonly leader: string
  /** Not in browsers. A secret: whoever has it has the session. */
  readonly cookie?: string
  /** Resolves when connected for the first time; rejects when closed before. */
  readonly ready: Promise<void>

  on(event: "state", listener: (told: { state: State; previous: State; error?: Error }) => void): () => void
  /** resumed: false: the session ended, and all it held is gone. Nothing is pushed again. */
  on(event: "session", listener: (told: { session: string; resumed: boolean }) => void): () => void
  on(event: "peers", listener: (told: { items: readonly ListItem[] }) => void): () => void

  /** Puts data onto a list. Sent again as often as need be, and done once. Aborting it takes it back. */
  push<T extends object = Data>(path: string, data: T, options?: { ifMatch?: string; once?: string; limit?: number; signal?: AbortSignal }): Promise<Item<T>>
  get<T = Data>(path: string, options?: { limit?: number; consistent?: boolean; minIndex?: number; signal?: AbortSignal }): Promise<Listing<T>>
  watch<T = Data>(path: string, options?: WatchOptions): Watch<T>
  watch<T = Data>(path: string, listener: (list: Notification<T>) => void): Watch<T>
  watch<T = Data>(path: string, options: WatchOptions, listener: (list: Notification<T>) => void): Watch<T>
  /** Throws `InvalidParameter` with a grace of 20 ms or less, with which nothing can be promised. */
  elect(path: string, data: object, options?: { signal?: AbortSignal }): Election
  /** Ends the session, for all its connections. */
  close(): Promise<void>
}

export interface WatchOptions {
  /** The first n items only. */
  limit?: number
  signal?: AbortSignal
}

/** One who watches: a callback, or a loop `for await (const list of watch)`. Who is slow is told at once of all that happened. */
export interface Watch<T = Data> extends AsyncIterable<Notification<T>> {
  /** The list as it was told last. */
  readonly items: readonly ListItem<T>[]
  close(): void
}

export interface Change {
  ifMatch?: string
  limit?: number
  signal?: AbortSignal
}

/** What a push made. */
export interface Item<T = Data> {
  readonly path: string
  readonly version: number
  /** As it was pushed, or updated and answered. */
  readonly data: T
  readonly held: boolean
  /** The answer to the push. */
  readonly list: Listing
  /** Of several updates that wait, only the newest is sent. */
  update(data: T, options?: Change): Promise<Listing>
  remove(options?: Change): Promise<Listing>
  on(event: "lost", listener: (told: { reason: string }) => void): () => void
}

/** A candidate. Every question looks at the clock: ask before each step. */
export interface Election {
  readonly state: "waiting" | "elected" | "suspended" | "lost"
  /** Whether it leads at this moment: its item is the head, and the session cannot have ended. */
  readonly leading: boolean
  /** The item's version. Send it along: whoever refuses a lower one than he knows is safe from late leaders. */
  readonly fence?: number
  /** Aborted when the leadership that is now ends; aborted already when there is none. */
  readonly signal: AbortSignal
  on(event: "elected", listener: (told: { fence: number }) => void): () => void
  /** It leads still, but is not connected: it may have to stop soon. */
  on(event: "suspended", listener: (told: { fence: number }) => void): () => void
  /** It must have stopped by now. final: false: `elected` may follow, with the same fence. */
  on(event: "lost", listener: (told: { fence?: number; final: boolean; reason?: string; error?: Error }) => void): () => void
  resign(): Promise<void>
}
