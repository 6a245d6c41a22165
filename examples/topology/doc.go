// Topology keeps three databases in an order that everybody agrees on.
//
//	go -C examples run ./topology
//
// Each database is a process with an item on the list /data/topology. The order
// of the list is the order of the databases: the first is the primary and takes
// the writes; the second is its standby and has each write before it is
// answered; the others get the writes when they can. When the primary dies its
// item goes, the standby becomes the first, and everybody is told: the
// databases, who take up their new roles, and their clients, who go where the
// first one is. Nobody but the list decides.
//
// Three things keep writes from being lost:
//
//   - A primary answers a write only when its standby has it. Alone it takes
//     none.
//   - It takes writes only while its election says that it leads, which ends
//     before Vera can have removed its item: a primary that hangs stops by itself.
//   - Whatever it sends to others brings the fence along, the version of its
//     item, and these refuse a lower one than they have seen. So even a primary
//     that is late in stopping changes nothing: the standby that took its place
//     has a higher one.
//
// What an example of this size leaves out: writes are in memory only, the whole
// log is sent to each new standby, and nothing keeps a database that was third
// from taking over when the first two die together.
//
// With -demo it kills the primary by itself once, shows that the writes go on
// and that none was lost, and ends.
package main
