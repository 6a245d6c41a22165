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
