package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/config"
)

func TestPprofStaysOnThisMachineUnlessAHostIsNamed(t *testing.T) {
	for in, want := range map[string]string{
		"6060":         "127.0.0.1:6060",
		":6060":        "127.0.0.1:6060",
		"0.0.0.0:6060": "0.0.0.0:6060",
		"[::1]:6060":   "[::1]:6060",
		"host:":        "",
		"":             "",
		"a:b:c":        "",
	} {
		got, err := pprofAddr(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestPprofServesProfilesUntilItIsStopped(t *testing.T) {
	var log bytes.Buffer
	stop, err := servePprof("127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, url, _ := strings.Cut(log.String(), "url=")
	url = strings.TrimSpace(url)
	res, err := http.Get(url + "goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || !strings.HasPrefix(string(body), "goroutine profile:") {
		t.Errorf("%v, body %.40q", err, body)
	}
	stop()
	if res, err := http.Get(url); err == nil {
		res.Body.Close()
		t.Error("serves after the stop")
	}
}

func TestHintsFitTheConfiguration(t *testing.T) {
	one := func(more string) *config.Config {
		c, err := config.Parse("f", []byte("nodes: [{host: '::1', port: 30000}]\n"+more))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tt := range []struct {
		name       string
		cfg        *config.Config
		file       string
		want, lack string
	}{
		{"kv speaks its language", one("state_machine: kv"), "pbft.yaml", `"data":"put greeting hello"}' http://[::1]:30000/request`, "-id"},
		{"kv reads back", one("state_machine: kv"), "my file.yaml", "go run ./client -c 'my file.yaml' submit 'get greeting'", "-id"},
		{"no clients, no client line", one(""), "pbft.yaml", "1 replica runs in this process; 0 may be faulty", "./client"},
		{"default file is not named", one("clients: [{host: localhost, port: 1}]"), "pbft.yaml", "go run ./client -id 0 -nm 5", " -c "},
	} {
		var b bytes.Buffer
		printHints(&b, tt.cfg, tt.file)
		if !strings.Contains(b.String(), tt.want) || strings.Contains(b.String(), tt.lack) {
			t.Errorf("%s: want %q and not %q in\n%s", tt.name, tt.want, tt.lack, &b)
		}
	}
}

func TestQuoteMakesOneWordOfAShell(t *testing.T) {
	for in, want := range map[string]string{"a/b-c.yaml": "a/b-c.yaml", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$x": "'$x'"} {
		if got := quote(in); got != want {
			t.Errorf("%q gives %s, want %s", in, got, want)
		}
	}
}

func TestVersionNamesModuleRevisionAndGo(t *testing.T) {
	for _, tt := range []struct {
		info debug.BuildInfo
		want string
	}{
		{debug.BuildInfo{GoVersion: "go1.26.8"}, "pbft server go1.26.8"},
		{debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}}, "pbft server go1.26.8"},
		{debug.BuildInfo{
			GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.3"},
			Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}},
		}, "pbft server v1.2.3 revision 0123456789ab with local changes go1.26.8"},
	} {
		if got := describeBuild(&tt.info); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
