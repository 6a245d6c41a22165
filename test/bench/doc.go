// Bench-peers measures three peers of Vera beside three of etcd and of
// ZooKeeper, each with its data on disk and fsync on, in one run on one
// machine, by one program.
//
// Each system is started for its own turn and stopped after it, so that none
// disturbs another, and the turns go round several times, so that a noisy
// minute meets all of them. What is compared is what the three mean by the same
// thing: an entry that lives as long as its client. In Vera that is a push, in
// etcd a put with a lease, in ZooKeeper an ephemeral sequential node. Each
// client has one request under way. Vera is loaded twice: by a lean client, as
// a program in any language could be, and by its own Go client.
package main
