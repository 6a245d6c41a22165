// Package disk is Raft's log and stable store on disk: what Raft was told is stored stays stored, or the store says which
// file is damaged and does not open.
//
// # Promises
//
//  1. StoreLogs, DeleteRange and Set return after an fdatasync of all they wrote. One batch, up to 1 MiB, is one write
//     and one fdatasync.
//  2. After a crash of the process or the machine at any moment, the store opens and holds what was acknowledged. What
//     was under way is there from its first entry up to some entry, or not at all.
//  3. Damage that no crash leaves (a flipped bit, a file cut short, lost, or of another log) is an error of Open that
//     names the file; Open changes no segment then. It is found by Open, or by the read that meets it.
//  4. The first write or sync that fails is the last: every later one answers its error. See Options.Failed.
//  5. Reads wait for no write. The newest 1,024 entries (at most 4 MiB of them, or one) are read from memory.
//
// # Bounds
//
// Memory: 8 bytes for each entry of the log, the newest entries, 2 MiB for the batch being written; a segment's worth
// while Open runs. Files: each segment is open. An entry has a bound, see Store.MaxEntry; so has the stable store.
//
// # Files
//
// The log is a row of segments, 00000000000000000001.log and so on, without a gap. A segment gets its full size, in
// zeros that are synced, under the name next.tmp; so a shorter one is damaged, and a batch that is written into it
// changes no metadata of the file. It gets its name when the one before is full. Then that one gets its seal, behind
// which there must be another segment. A segment goes when no entry in it belongs to the log any more and there is none
// before it.
//
// Nothing is ever written twice to a place: a deletion is a record too. What a crash tore is zeroed before new batches.
//
// # Format, version 1
//
// All numbers are little-endian. A checksum is CRC-32C; those of frames and records start from the CRC-32C of the log's
// id and the segment's number.
//
//	segment   header, frame, frame, …, zeros
//	header    512 bytes: "vera-log", version u32, 0 u32, segment number u64, size in bytes u64, id of the log u64,
//	          zeros, and in the last 4 bytes the checksum of the 508 before
//	frame     32 bytes: "VerF", bytes of records u32, number of the batch u64, count of records u32, 0 u32,
//	          checksum u32 of the 24 bytes before, A5A5A5A5; the records; 1 to 32 bytes A5 up to a multiple of 32
//	record    16 bytes: checksum u32 of the rest of the record, size u32, kind u8, type u8, 0 u16, extra u32; then
//	  1 entry    index u64, term u64, appended at i64 (ns since 1970; the least number: never), data, extensions;
//	             type is Raft's, extra the size of the extensions
//	  2 keep     first u64, last u64: the log is cut down to these; 0, 0 empties it
//	  3 state    first u64, last u64: the log as the segment begins; the first record of each segment and only there
//	  4 set      name, value of the stable store; extra is the size of the name
//	  5 seal     the segment is full
//
// A frame is a batch. Batches are numbered from 1 on, over all segments, without a gap. Behind the state record, the
// first frame of a segment sets all values of the stable store: segments before it are needed only for their entries.
//
// # What a crash can leave
//
// A batch is begun when the one before is on the disk. So at most the last frame of the last unsealed segment is torn,
// and a frame behind a broken one is damage. The disk writes whole sectors of 512 bytes, in any order, over zeros; a
// killed process leaves the beginning of a write. Hence a last frame that is broken was torn if what is missing of it is
// its end, or a whole sector's part of it that now holds zeros; any other difference is damage, also in the last frame.
// Frames begin with a byte, and end with one, that is not zero, so this is seen of every part but one: 512 zeros, at
// a sector's beginning, inside an entry that was stored so.
package disk
