package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/server/replica"
)

const sample = "../pbft.yaml"

// fake is a replica without sockets.
type fake struct {
	started func()
	run     func(ctx context.Context) error
}

func (f fake) Run(ctx context.Context) error {
	f.started()
	return f.run(ctx)
}

func untilEnd(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// testbed is a program with fake replicas, which sends itself signals once
// all of them run.
type testbed struct {
	program
	stdout, stderr bytes.Buffer
	options        []replica.Options
}

// newTestbed makes one that gets the given signals when expect replicas run.
func newTestbed(expect int, run func(ctx context.Context) error, signals ...os.Signal) *testbed {
	ch := make(chan os.Signal, 2)
	var running sync.WaitGroup
	running.Add(expect)
	go func() {
		running.Wait()
		for _, s := range signals {
			ch <- s
		}
	}()
	b := &testbed{}
	b.program = program{
		stdout: &b.stdout, stderr: &b.stderr, signals: ch,
		exit: func(code int) { panic("exit " + strconv.Itoa(code)) },
		start: func(o replica.Options) (runner, error) {
			b.options = append(b.options, o)
			return fake{running.Done, run}, nil
		},
	}
	return b
}

func TestOldFlagsAreRewrittenBeforeParsing(t *testing.T) {
	for _, tt := range []struct{ args, want []string }{
		{nil, []string{}},
		{[]string{"-i", "0"}, []string{"-i", "0"}},
		{[]string{"-i", "0", "-lf", "False"}, []string{"-i", "0", "--log_to_file", "False"}},
		{[]string{"-lf=True", "-i0"}, []string{"--log_to_file=True", "-i0"}},
		{[]string{"-lf", ""}, []string{"--log_to_file", ""}},
		{[]string{"-lf="}, []string{"--log_to_file="}},
		{[]string{"--", "-lf"}, []string{"--", "-lf"}},
		{[]string{"config", "-lf.yaml"}, []string{"config", "-lf.yaml"}},
	} {
		if got := rewriteArgs(tt.args); !slices.Equal(got, tt.want) {
			t.Errorf("%q becomes %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestLogToFileMeansWhatItSays(t *testing.T) {
	path, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		file bool
	}{
		{nil, false},
		{[]string{"-lf", "False"}, false},
		{[]string{"-lf", "false"}, false},
		{[]string{"-lf", "0"}, false},
		{[]string{"-lf", ""}, false},
		{[]string{"-lf", "True"}, true},
		{[]string{"-lf=1"}, true},
		{[]string{"--log_to_file", "True"}, true},
		{[]string{"--log_to_file=False"}, false},
		{[]string{"--log-to-file=yes"}, true},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Chdir(t.TempDir())
			b := newTestbed(1, untilEnd, syscall.SIGTERM)
			args := append([]string{"-i", "2", "-c", path + "/" + sample}, tt.args...)
			if code := b.main(args); code != exitOK {
				t.Fatalf("exit code %d: %s", code, &b.stderr)
			}
			text, err := os.ReadFile("log_2")
			if (err == nil) != tt.file {
				t.Errorf("log_2: %v, want a file: %t", err, tt.file)
			}
			if tt.file && (!strings.Contains(string(text), "replica=2") || b.stderr.Len() > 0) {
				t.Errorf("log_2 is %q, stderr %q", text, &b.stderr)
			}
			if debug := b.options[0].Logger.Enabled(t.Context(), -4); debug != tt.file {
				t.Errorf("level debug: %t", debug)
			}
		})
	}
}

func TestOneReplicaRunsUntilASignal(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		b := newTestbed(1, untilEnd, s)
		if code := b.main([]string{"--index", "3", "--config", sample}); code != exitOK {
			t.Fatalf("%v: exit code %d: %s", s, code, &b.stderr)
		}
		if len(b.options) != 1 || b.options[0].Index != 3 || b.options[0].Config.CheckpointInterval != 10 || b.options[0].Version == "" {
			t.Errorf("options %+v", b.options)
		}
		if b.stdout.Len() > 0 || !strings.Contains(b.stderr.String(), "development keys") || !strings.Contains(b.stderr.String(), "pipeline lowered") {
			t.Errorf("stdout %q, stderr %q", &b.stdout, &b.stderr)
		}
	}
}

func TestAllRunsEveryReplicaAndSaysWhatToType(t *testing.T) {
	b := newTestbed(4, untilEnd, syscall.SIGINT)
	if code := b.main([]string{"--all", "-c", sample, "--log-format", "json"}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &b.stderr)
	}
	for i, o := range b.options {
		if o.Index != i {
			t.Errorf("replica %d has index %d", i, o.Index)
		}
		b.stderr.Reset()
		o.Logger.Info("hello")
		if want := `"replica":` + strconv.Itoa(i); !strings.Contains(b.stderr.String(), want) {
			t.Errorf("log line %q lacks %s", &b.stderr, want)
		}
	}
	for _, want := range []string{
		`curl --data '{"id":[7,0],"data":"hello"}' http://localhost:30000/request`,
		"grpcurl -plaintext -d '{",
		"}' localhost:30000 pbft.v1.ClientService/Submit",
		"go run ./client -c ../pbft.yaml -id 0 -nm 5",
		"Stop with ctrl-c.",
	} {
		if !strings.Contains(b.stdout.String(), want) {
			t.Errorf("stdout lacks %q:\n%s", want, &b.stdout)
		}
	}
}

func TestSecondSignalEndsTheProcessAtOnce(t *testing.T) {
	release := make(chan struct{})
	b := newTestbed(1, func(context.Context) error { <-release; return nil }, syscall.SIGINT, syscall.SIGINT)
	var code int
	b.exit = func(c int) { code = c; close(release) }
	b.main([]string{"-i", "0", "-c", sample})
	if code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

func TestOneHaltedReplicaDoesNotStopTheOthers(t *testing.T) {
	var once sync.Once
	b := newTestbed(4, func(ctx context.Context) (err error) {
		once.Do(func() { err = errors.New("agreement violated") })
		if err != nil {
			return err
		}
		return untilEnd(ctx)
	}, syscall.SIGTERM)
	if code := b.main([]string{"--all", "-c", sample}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(b.stderr.String(), "server: agreement violated\n") {
		t.Errorf("stderr %q", &b.stderr)
	}
}

func TestProcessEndsWhenEveryReplicaHalted(t *testing.T) {
	b := newTestbed(1, func(context.Context) error { return errors.New("halted") })
	if code := b.main([]string{"-i", "0", "-c", sample}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestPortInUseIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	port := ln.Addr().(*net.TCPAddr).Port
	file := write(t, "nodes: [{host: 127.0.0.1, port: "+strconv.Itoa(port)+", peer_port: "+strconv.Itoa(port^1)+"}]")
	b := newTestbed(1, untilEnd)
	b.start = func(o replica.Options) (runner, error) { return replica.New(o) }
	if code := b.main([]string{"-i", "0", "-c", file}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(b.stderr.String(), ln.Addr().String()) {
		t.Errorf("stderr lacks %s: %q", ln.Addr(), &b.stderr)
	}
	b = newTestbed(1, untilEnd)
	if code := b.main([]string{"-i", "0", "-c", sample, "--pprof", ln.Addr().String()}); code != exitFailed {
		t.Errorf("exit code %d for a port in use by --pprof", code)
	}
}

func TestWrongUseIsRefusedWithCode2(t *testing.T) {
	far := write(t, "nodes: [{host: 10.1.2.3, port: 30000}]")
	bad := write(t, "nodes: [{host: localhost, port: 30000}]\nloss%: 101\nlos: 1\n")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-c", sample}, "server: which replica? Give -i INDEX, or --all"},
		{[]string{"-i", "4", "-c", sample}, "server: index 4 is out of range: ../pbft.yaml has nodes 0 to 3"},
		{[]string{"-i", "-1", "-c", sample}, "server: index -1 is out of range"},
		{[]string{"-i", "one", "-c", sample}, `"one"`},
		{[]string{"-i", "0", "--all", "-c", sample}, "server: both --index and --all"},
		{[]string{"-i", "0", "-c", sample, "more"}, `server: unexpected argument "more"`},
		{[]string{"-x"}, "server: unknown shorthand flag: 'x'"},
		{[]string{"-i", "0", "-c", sample, "-lf"}, "server: flag needs an argument: --log_to_file"},
		{[]string{"-i", "0", "-c", sample, "-lf", "maybe"}, `"maybe" for "--log_to_file" flag: allowed are True and False`},
		{[]string{"-i", "0", "-c", sample, "--log-level", "loud"}, `server: --log-level is "loud", allowed are debug, info, warn and error`},
		{[]string{"-i", "0", "-c", sample, "--log-format", "xml"}, `server: --log-format is "xml", allowed are text and json`},
		{[]string{"-i", "0", "-c", sample, "--gomaxprocs", "-1"}, "server: --gomaxprocs is -1, allowed are 1 and more"},
		{[]string{"-i", "0", "-c", sample, "--pprof", "a:b:c"}, `server: --pprof is "a:b:c", allowed are PORT and HOST:PORT`},
		{[]string{"-i", "0", "-c", "absent.yaml"}, "server: configuration: open absent.yaml: no such file"},
		{[]string{"-i", "0", "-c", far}, `nodes[0].host: is "10.1.2.3", allowed is loopback`},
		{[]string{"-i", "0", "-c", bad}, "server: " + bad + ":2: loss%: is 101, allowed is a number from 0 to 100\nserver: " + bad + `:3: unknown key "los"`},
		{[]string{"config", bad}, "server: " + bad + ":2: loss%: is 101"},
		{[]string{"config", "absent.yaml"}, "server: configuration: open absent.yaml: no such file"},
		{[]string{"config", "a", "b"}, "server: config takes one file, not 2"},
	} {
		b := newTestbed(1, untilEnd)
		if code := b.main(tt.args); code != exitUsage {
			t.Errorf("%q: exit code %d", tt.args, code)
		}
		if !strings.Contains(b.stderr.String(), tt.want) || len(b.options) > 0 {
			t.Errorf("%q: started %d, stderr\n%s\nwant\n%s", tt.args, len(b.options), &b.stderr, tt.want)
		}
	}
}

func TestInsecureAllowsOtherAddresses(t *testing.T) {
	file := write(t, "nodes: [{host: 10.1.2.3, port: 30000}]")
	b := newTestbed(1, untilEnd, syscall.SIGTERM)
	if code := b.main([]string{"-i", "0", "-c", file, "--insecure"}); code != exitOK {
		t.Errorf("exit code %d: %s", code, &b.stderr)
	}
}

func TestConfigPrintsWhatTakesEffect(t *testing.T) {
	b := newTestbed(1, untilEnd)
	if code := b.main([]string{"config", sample}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &b.stderr)
	}
	cfg, err := config.Load(sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# note: pipeline lowered from 32 to 30",
		"# replicas: 4, of which 1 may be faulty\n",
		"# config_digest: " + cfg.Digest().Hex() + "\n",
		"\nckpt_interval: 10 ",
		"\nmax_batch_bytes: 1 MiB ",
	} {
		if !strings.Contains(b.stdout.String(), want) {
			t.Errorf("lacks %q:\n%s", want, &b.stdout)
		}
	}
	printed, err := config.Parse("printed", b.stdout.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if printed.ClusterID != cfg.ClusterID || printed.Digest() != cfg.Digest() {
		t.Error("the printed configuration is another one")
	}
}

func TestConfigSaysWhenAnAddressWouldBeRefused(t *testing.T) {
	b := newTestbed(1, untilEnd)
	if code := b.main([]string{"config", write(t, "nodes: [{host: example.com, port: 1}]")}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &b.stderr)
	}
	if !strings.Contains(b.stdout.String(), `# refused without --insecure: nodes[0].host: is "example.com"`) {
		t.Errorf("%s", &b.stdout)
	}
}

func TestVersionAndHelpAreOnStdout(t *testing.T) {
	for arg, want := range map[string]string{"--version": "pbft server", "--help": "130  a second signal"} {
		b := newTestbed(1, untilEnd)
		if code := b.main([]string{arg}); code != exitOK || !strings.Contains(b.stdout.String(), want) {
			t.Errorf("%s: exit code %d, stdout %q", arg, code, &b.stdout)
		}
	}
}

// write makes a configuration file.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
