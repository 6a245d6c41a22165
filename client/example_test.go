package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"vera/client"
)

// A program that shows it is there, for as long as it runs.
func ExampleDial() {
	ctx := context.Background()
	c, err := client.Dial(ctx, "http://127.0.0.1:8372", client.Options{Grace: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() // its item goes at once
	if _, err := c.Push(ctx, "/data/workers", map[string]string{"host": "a.example"}); err != nil {
		log.Fatal(err)
	}
	<-c.Done()
}

// A program that follows a list.
func ExampleConnection_Watch() {
	ctx := context.Background()
	c, err := client.Dial(ctx, "http://127.0.0.1:8372", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	watch, workers, err := c.Watch(ctx, "/data/workers")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(workers.Items), "workers")
	for notification, err := range watch.All(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(notification.Items), "workers")
	}
}

// A program that is the first or does nothing: the push only succeeds on an empty list.
func ExampleIfMatch() {
	ctx := context.Background()
	c, err := client.Dial(ctx, "http://127.0.0.1:8372", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	first, err := c.Push(ctx, "/data/first", map[string]bool{}, client.IfMatch("0"), client.Once("4f1c9a"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("first, with version", first.Version)
}

// A program that is there for others to see, whichever peer dies.
func ExampleConnect() {
	ctx := context.Background()
	c, err := client.Connect(ctx, []string{"http://10.0.0.1:8372", "http://10.0.0.2:8372"}, client.Options{Grace: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() // its items go at once
	worker, _, err := c.Push(ctx, "/data/workers", map[string]string{"host": "a.example"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := worker.Update(ctx, map[string]any{"host": "a.example", "busy": true}); err != nil {
		log.Fatal(err)
	}
	<-worker.Lost()
	log.Fatal("not there any more: ", worker.Reason())
}

// A program that does what only one may do at a time.
func ExampleClient_Elect() {
	ctx := context.Background()
	c, err := client.Connect(ctx, []string{"http://127.0.0.1:8372"}, client.Options{Grace: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	election, err := c.Elect(ctx, "/data/jobs/leader", map[string]string{"name": "worker 7"})
	if err != nil {
		log.Fatal(err)
	}
	for {
		leading, err := election.Leader(ctx) // waits
		if err != nil {
			log.Fatal(err) // the item is gone: elect anew, or end
		}
		for leading.Err() == nil { // asks the clock
			step(leading, election.Fence())
		}
	}
}

// step does a little of the leader's work, and stops when ctx is done. Whoever
// it works on refuses a fence lower than the highest it has seen.
func step(ctx context.Context, fence uint64) { fmt.Println("led by", fence) }

// A program that follows a list for as long as it runs.
func ExampleClient_Watch() {
	ctx := context.Background()
	c, err := client.Connect(ctx, []string{"http://127.0.0.1:8372"}, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for list, err := range c.Watch(ctx, "/data/workers") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(list.Items), "workers:", len(list.Added), "came,", len(list.Removed), "left")
	}
}
