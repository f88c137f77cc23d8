//go:build ignore

// Command recorder is the load of those cases of faults that look at every
// single operation. It has clients of the client library, each with one
// operation in flight, on a few keys of a key-value store, and writes what each
// of them asked and was told, with the times, one JSON object a line (see type
// operation). With -load it puts keys, many at a time, and records nothing.
//
// It is built with the module above, whose client library it needs, and is
// therefore left out of the module that its folder belongs to: go build in the
// root of the repository takes the names of its files.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/config"
)

type options struct {
	config  string
	out     string
	seed    uint64
	clients int
	keys    int
	ops     int
	think   time.Duration
	timeout time.Duration
	hasty   float64
	load    int
	size    int
}

func main() {
	var o options
	flag.StringVar(&o.config, "c", "pbft.yaml", "configuration `FILE`")
	flag.StringVar(&o.out, "o", "", "`FILE` for what was recorded")
	flag.Uint64Var(&o.seed, "seed", 1, "what operations and pauses are drawn from")
	flag.IntVar(&o.clients, "clients", 16, "clients")
	flag.IntVar(&o.keys, "keys", 4, "keys")
	flag.IntVar(&o.ops, "ops", 2000, "operations of all clients together; SIGTERM ends them earlier")
	flag.DurationVar(&o.think, "think", 10*time.Millisecond, "mean pause of a client between two operations")
	flag.DurationVar(&o.timeout, "timeout", 30*time.Second, "until an operation without an answer is late")
	flag.Float64Var(&o.hasty, "hasty", 0, "share of the operations that are given up early, whatever became of them")
	flag.IntVar(&o.load, "load", 0, "put so many keys, as client bench names them, and end")
	flag.IntVar(&o.size, "size", 100, "bytes of the puts of -load")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	c, err := config.Load(o.config)
	if err != nil {
		return err
	}
	if o.load > 0 {
		return load(ctx, o, c)
	}
	file, err := os.Create(o.out)
	if err != nil {
		return err
	}
	r := &recorder{o: o, began: time.Now(), w: bufio.NewWriter(file)}
	clients := make([]*client, o.clients)
	for i := range clients {
		if clients[i], err = r.client(c, i); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	for _, k := range clients {
		wg.Go(func() { k.run(ctx) })
	}
	wg.Wait()
	for _, k := range clients {
		_ = k.c.Close()
	}
	if err := r.w.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// operation is what a client knows of one. Times are nanoseconds since 1970, of
// a clock that never steps.
type operation struct {
	Client string `json:"client"`
	Number uint64 `json:"number"`
	Op     string `json:"op"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`           // when the client went on
	Known  bool   `json:"known"`            // it was executed
	Gone   bool   `json:"gone,omitempty"`   // but its result is kept no more
	Result string `json:"result,omitempty"` // of a known one
	Error  string `json:"error,omitempty"`  // of one that is not known
	Unsent bool   `json:"unsent,omitempty"` // such a one that never will be executed
	Failed bool   `json:"failed,omitempty"` // such a one that was not given up early
}

// recorder gathers what the clients know.
type recorder struct {
	o     *options
	began time.Time
	asked atomic.Int64 // operations

	mu sync.Mutex
	w  *bufio.Writer
}

func (r *recorder) now() int64 { return r.began.UnixNano() + int64(time.Since(r.began)) }

func (r *recorder) note(op *operation) {
	b, _ := json.Marshal(op) // its fields cannot fail
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.w.Write(append(b, '\n')) // Flush tells
}

// client is one of the clients. Each has connections of its own.
type client struct {
	r      *recorder
	c      *pbftclient.Client
	random *rand.Rand
	seen   []string // by key: the value that it saw last
	count  int
}

func (r *recorder) client(c *config.Config, index int) (*client, error) {
	o := pbftclient.FromConfig(c)
	o.ClientID = fmt.Sprintf("recorder-%d", index) // the same in every run
	k := &client{r: r, random: rand.New(rand.NewPCG(r.o.seed, uint64(index))), seen: make([]string, r.o.keys)}
	var err error
	k.c, err = pbftclient.New(o)
	return k, err
}

func (k *client) run(ctx context.Context) {
	for ctx.Err() == nil && k.r.asked.Add(1) <= int64(k.r.o.ops) {
		key := k.random.IntN(k.r.o.keys)
		op := &operation{Client: k.c.ID(), Op: k.draw(key)}
		k.order(op)
		k.learn(key, op)
		k.r.note(op)
		if op.Failed {
			k.r.asked.Store(int64(k.r.o.ops)) // that is enough
		}
		pause := time.Duration(k.random.ExpFloat64() * float64(k.r.o.think))
		select {
		case <-ctx.Done():
		case <-time.After(min(pause, 10*k.r.o.think)):
		}
	}
}

// draw makes an operation. What is written is written once, so that a value
// tells where it comes from.
func (k *client) draw(key int) string {
	k.count++
	value := fmt.Sprintf("%s.%d.%d", strings.TrimPrefix(k.c.ID(), "recorder-"), k.r.o.seed%1_000_000, k.count)
	switch x := k.random.IntN(100); {
	case x < 35:
		return fmt.Sprintf("put key%d %s", key, value)
	case x < 60:
		return fmt.Sprintf("get key%d", key)
	case x < 95 && k.seen[key] != "":
		return fmt.Sprintf("cas key%d %s %s", key, k.seen[key], value)
	case x < 95:
		return fmt.Sprintf("get key%d", key)
	default:
		return fmt.Sprintf("delete key%d", key)
	}
}

// learn takes up the present value of a key, for the next cas.
func (k *client) learn(key int, op *operation) {
	if !op.Known || op.Gone {
		return
	}
	words := strings.Fields(op.Op)
	switch {
	case words[0] == "put", words[0] == "cas" && op.Result == "OK":
		k.seen[key] = words[len(words)-1]
	case words[0] == "cas":
		k.seen[key], _ = strings.CutPrefix(op.Result, "MISMATCH ")
	case words[0] == "get":
		k.seen[key] = op.Result
	}
	if op.Result == "NOT_FOUND" || words[0] == "delete" {
		k.seen[key] = ""
	}
}

// order has an operation ordered, and notes what is known of it.
func (k *client) order(op *operation) {
	timeout, hasty := k.r.o.timeout, k.random.Float64() < k.r.o.hasty
	if hasty {
		timeout = time.Duration(k.random.ExpFloat64() * float64(5*time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	op.Call = k.r.now()
	result, err := k.c.Submit(ctx, []byte(op.Op))
	op.Return = k.r.now()
	var unknown *pbftclient.UnknownError
	switch {
	case err == nil:
		op.Known, op.Number, op.Gone, op.Result = true, result.Number, result.Gone, string(result.Value)
		return
	case errors.As(err, &unknown):
		op.Number = unknown.Number
	case errors.Is(err, pbftclient.ErrNotSent):
		op.Unsent = true
	default: // no client here breaks a rule
		hasty = false
	}
	op.Error, op.Failed = err.Error(), !hasty
}
