package pbftclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/config"
)

func Example() {
	cfg, err := config.Load("pbft.yaml")
	if err != nil {
		log.Fatal(err)
	}
	c, err := pbftclient.New(pbftclient.FromConfig(cfg))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := c.Submit(ctx, []byte("put colour green"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, as part of batch %d\n", r.Value, r.N)
}

// What the errors mean for the caller.
func ExampleSession_Submit() {
	c, err := pbftclient.New(pbftclient.Options{
		Replicas: []string{"a.example:30000", "b.example:30000", "c.example:30000", "d.example:30000"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := c.Session("till 7")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := s.Submit(ctx, []byte("put colour green"))
	var refused *pbftclient.RefusedError
	var unknown *pbftclient.UnknownError
	switch {
	case err == nil:
		fmt.Printf("%s\n", r.Value)
	case errors.As(err, &refused):
		fmt.Println("the operation breaks a rule:", refused.Message)
	case errors.Is(err, pbftclient.ErrNotSent):
		fmt.Println("not executed, and never will be")
	case errors.As(err, &unknown):
		fmt.Println("executed or not: ask for the outcome of number", unknown.Number)
	default: // ErrExpired, ErrNumberReused: another program uses the client id
		fmt.Println(err)
	}
}

// A request whose outcome is unknown may be asked about later, by another
// program, too.
func ExampleSession_Outcome() {
	c, err := pbftclient.New(pbftclient.Options{Replicas: []string{"localhost:30000"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := c.Session("till 7")
	if err != nil {
		log.Fatal(err)
	}
	o, err := s.Outcome(context.Background(), 42)
	switch {
	case err != nil:
		log.Fatal(err)
	case o.Executed:
		fmt.Printf("executed as part of batch %d: %s\n", o.N, o.Value)
	default:
		fmt.Println(o.Status)
	}
}

// Many requests in flight, without a goroutine or an allocation for each: a
// Call may be used again once it is done.
func ExampleSession_Start() {
	c, err := pbftclient.New(pbftclient.Options{Replicas: []string{"localhost:30000"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := c.Session("loader")
	if err != nil {
		log.Fatal(err)
	}
	idle := make(chan *pbftclient.Call, 100)
	for range cap(idle) {
		idle <- &pbftclient.Call{Done: func(call *pbftclient.Call) { idle <- call }}
	}
	for i := range 10_000 {
		call := <-idle
		if call.Err != nil {
			log.Fatal(call.Err)
		}
		call.Op = fmt.Appendf(call.Op[:0], "put key%d value", i)
		s.Start(context.Background(), call)
	}
}
