package config

import (
	"strings"
	"testing"
)

// four are four good nodes in lines 1 to 5; what follows starts in line 6.
var four = nodesOnly(4)

func TestBadFilesAreRefusedByLineKeyAndValue(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", `f: is empty, needs at least the key "nodes"`},
		{"comment only", "# nothing\n", `f: is empty, needs at least the key "nodes"`},
		{"null", "~\n", `f: is empty, needs at least the key "nodes"`},
		{"scalar", "nodes\n", `f:1: is "nodes", must hold keys: allow_reply_hosts, ckpt_interval,`},
		{"list", "- nodes\n", `f:1: is a list, must hold keys: allow_reply_hosts,`},
		{"syntax", "nodes: [\n", `f:1: no valid YAML: did not find expected node content`},
		{"not text", "\xff\xfe\x00", `f: no valid YAML: `},
		{"tab", "nodes:\n\t- host: a\n", `f:2: no valid YAML: `},
		{"second document", four + "---\nloss%: 1\n", `f:6: a second document, allowed is one`},
		{"bad second document", four + "---\n[\n", `no valid YAML: `},
		{"too large", four + strings.Repeat("#\n", 1<<19), `f: larger than 1 MiB, the most that is read`},

		{"unknown key", four + "los%: 3\n", `f:6: unknown key "los%", allowed are allow_reply_hosts, ckpt_interval,`},
		{"key of another type", four + "1: 3\n", `f:6: unknown key 1, allowed are `},
		{"merge key", four + "<<: {loss%: 1}\n", `f:6: unknown key <<, allowed are `},
		{"unknown key in misc", four + "misc:\n  timeout: 3\n", `f:7: misc: unknown key "timeout", allowed are network_timeout`},
		{"unknown key in a node", "nodes:\n- host: a\n  prot: 1\n", `f:3: nodes[0]: unknown key "prot", allowed are host, peer_port, port`},
		{"duplicate key", four + "loss%: 3\nloss%: 4\n", `f:7: loss%: is 4 here, but stands in line 6 already`},
		{"duplicate key in a node", "nodes:\n- host: a\n  port: 1\n  host: b\n", `f:4: nodes[0].host: is "b" here, but stands in line 2 already`},
		{"dotted key", four + "misc.network_timeout: 3\n", `f:6: unknown key "misc.network_timeout"`},

		{"no nodes", "loss%: 3\n", `f: nodes: is missing, needs a list of replicas, each with host and port`},
		{"nodes empty", "nodes:\n", `f:1: nodes: is empty, must be a list`},
		{"nodes a mapping", "nodes:\n  host: a\n", `f:2: nodes: is a mapping, must be a list`},
		{"nodes an empty list", "nodes: []\n", `f:1: nodes: is an empty list, needs 1 replica to try things out, or 4 to 64`},
		{"node a scalar", "nodes:\n- localhost:3000\n", `f:2: nodes[0]: is "localhost:3000", must hold keys: host, peer_port, port`},
		{"two replicas", nodesOnly(2), `f:1: nodes: 2 replicas tolerate no faulty one, and any that stops would stop them all: n replicas tolerate (n-1)/3, so use 1 to try things out, or 4 to 64`},
		{"three replicas", "\n" + nodesOnly(3), `f:2: nodes: 3 replicas tolerate no faulty one,`},
		{"sixty-five replicas", nodesOnly(65), `f:1: nodes: 65 replicas, the most allowed is 64`},
		{"no host", "nodes:\n- port: 1\n", `f:2: nodes[0].host: is missing, every entry needs host and port`},
		{"no port", "nodes:\n\n- host: a\n", `f:3: nodes[0].port: is missing, every entry needs host and port`},
		{"client without port", four + "clients:\n- host: a\n", `f:7: clients[0].port: is missing,`},

		{"port 0", "nodes:\n- host: a\n  port: 0\n", `f:3: nodes[0].port: is 0, allowed are 1 to 65535`},
		{"port too large", "nodes:\n- host: a\n  port: 65536\n", `f:3: nodes[0].port: is 65536, allowed are 1 to 65535`},
		{"port octal", "nodes:\n- host: a\n  port: 0100\n", `f:3: nodes[0].port: is 0100, allowed are 1 to 65535`},
		{"port quoted", "nodes:\n- host: a\n  port: '80'\n", `f:3: nodes[0].port: is "80", allowed are 1 to 65535`},
		{"peer port beyond", "nodes:\n- host: a\n  port: 65500\n", `f:2: nodes[0].peer_port: would be port+100 = 65600, allowed are 1 to 65535: set it`},
		{"host with port", "nodes:\n- host: a:80\n  port: 1\n", `f:2: nodes[0].host: is "a:80", allowed is a host name or an IP address, without port and brackets`},
		{"host a number", "nodes:\n- host: 12\n  port: 1\n", `f:2: nodes[0].host: is 12, allowed is a host name`},
		{"host no address", "nodes:\n- host: 1.2.3\n  port: 1\n", `f:2: nodes[0].host: is "1.2.3", allowed is a host name`},
		{"host empty", "nodes:\n- host: ''\n  port: 1\n", `f:2: nodes[0].host: is "", allowed is a host name`},
		{"host null", "nodes:\n- host:\n  port: 1\n", `f:2: nodes[0].host: is empty, must be a single value`},
		{"host unspecified", "nodes:\n- host: 0.0.0.0\n  port: 1\n", `f:2: nodes[0].host: is "0.0.0.0", which others cannot dial: name an address of this host`},

		{"port used twice", "nodes:\n- {host: a, port: 1}\n- {host: b, port: 1}\n- {host: c, port: 1}\n- host: A\n  port: 1\n",
			`f:6: nodes[3].port: is 1, but nodes[0].port in line 2 is port 1 on a too: every port of a host may be used once`},
		{"port is a peer port", "nodes:\n- {host: localhost, port: 30000}\n- {host: 127.0.0.1, port: 30100}\n- {host: c, port: 1}\n- {host: d, port: 1}\n",
			`f:3: nodes[1].port: is 30100, but nodes[0].peer_port (default) in line 2 is port 30100 on 127.0.0.1 too`},
		{"peer port equals port", "nodes: [{host: a, port: 5,\n peer_port: 5}]\n", `f:2: nodes[0].peer_port: is 5, but nodes[0].port in line 1 is port 5 on a too`},
		{"client on a node's port", four + "clients:\n- host: localhost\n  port: 30002\n", `f:8: clients[0].port: is 30002, but nodes[2].port in line 4 is port 30002 on 127.0.0.1 too`},

		{"text for a number", four + "ckpt_interval: ten\n", `f:6: ckpt_interval: is "ten", allowed is a whole number from 1 to 4096`},
		{"list for a number", four + "ckpt_interval: [10]\n", `f:6: ckpt_interval: is a list, must be a single value`},
		{"mapping for a number", four + "ckpt_interval:\n  a: 1\n", `f:7: ckpt_interval: is a mapping, must be a single value`},
		{"nothing for a number", four + "ckpt_interval:\n", `f:6: ckpt_interval: is empty, must be a single value`},
		{"alias", four + "depth: &x 1\nckpt_interval: *x\n", `f:7: ckpt_interval: is the alias *x, must be a single value`},
		{"fraction for a whole number", four + "ckpt_interval: 1.5\n", `f:6: ckpt_interval: is 1.5, allowed is a whole number from 1 to 4096`},
		{"boolean", four + "ckpt_interval: true\n", `f:6: ckpt_interval: is true, allowed is a whole number`},
		{"zero interval", four + "ckpt_interval: 0\n", `f:6: ckpt_interval: is 0, allowed is a whole number from 1 to 4096`},
		{"negative", four + "ckpt_interval: -1\n", `f:6: ckpt_interval: is -1, allowed is a whole number from 1 to 4096`},
		{"huge", four + "ckpt_interval: 99999999999999999999\n", `f:6: ckpt_interval: is 99999999999999999999, allowed is a whole number from 1 to 4096`},
		{"hexadecimal", four + "ckpt_interval: 0x10\n", `f:6: ckpt_interval: is 0x10, allowed is a whole number from 1 to 4096`},
		{"one checkpoint in the window", four + "window_checkpoints: 1\n", `f:6: window_checkpoints: is 1, allowed is a whole number from 2 to 64`},
		{"odd client window", four + "client_window: 100\n", `f:6: client_window: is 100, allowed is a multiple of 64 from 64 to 65536`},
		{"loss below", four + "loss%: -0.5\n", `f:6: loss%: is -0.5, allowed is a number from 0 to 100`},
		{"loss above", four + "loss%: 100.1\n", `f:6: loss%: is 100.1, allowed is a number from 0 to 100`},
		{"loss not a number", four + "loss%: .nan\n", `f:6: loss%: is .nan, allowed is a number from 0 to 100`},
		{"loss infinite", four + "loss%: .inf\n", `f:6: loss%: is .inf, allowed is a number from 0 to 100`},
		{"loss quoted", four + "loss%: '5'\n", `f:6: loss%: is "5", allowed is a number from 0 to 100`},
		{"no time", four + "sync_interval: 0\n", `f:6: sync_interval: is 0, allowed are 0.01 to 3600 seconds`},
		{"time with unit", four + "misc:\n  network_timeout: 5s\n", `f:7: misc.network_timeout: is "5s", allowed are 0.01 to 3600 seconds`},
		{"time too long", four + "view_change_timeout: 61\n", `f:6: view_change_timeout: is 61, allowed are 0.1 to 60 seconds`},
		{"misc a list", four + "misc: []\n", `f:6: misc: is a list, must hold keys: network_timeout`},
		{"bytes below", four + "max_batch_bytes: 4 KiB\n", `f:6: max_batch_bytes: is "4 KiB", allowed are 260 KiB to 64 MiB, as bytes or with KiB, MiB or GiB behind a whole number`},
		{"bytes with another unit", four + "max_batch_bytes: 1 MB\n", `f:6: max_batch_bytes: is "1 MB", allowed are 260 KiB to 64 MiB`},
		{"bytes overflow", four + "result_cache: 99999999999 GiB\n", `f:6: result_cache: is "99999999999 GiB", allowed are 1 MiB to 1024 GiB`},
		{"long value", four + "depth: " + strings.Repeat("x", 200) + "\n", `f:6: depth: is "` + strings.Repeat("x", 80) + `...", allowed`},

		{"signed clients", four + "client_auth: signature\n", `f:6: client_auth: is "signature", is not implemented yet, allowed is none`},
		{"unknown authentication", four + "client_auth: password\n", `f:6: client_auth: is "password", allowed is none`},
		{"durability", four + "durability: none\n", `f:6: durability: is "none", allowed is disk or memory`},
		{"data_dir empty", four + "data_dir: ''\n", `f:6: data_dir: is "", allowed is the path of a directory`},
		{"data_dir number", four + "data_dir: 7\n", `f:6: data_dir: is 7, allowed is the path of a directory`},
		{"history_keep", four + "history_keep: some\n", `f:6: history_keep: is "some", allowed are 1 MiB to 1024 GiB, as bytes or with KiB, MiB or GiB behind a whole number, or all`},
		{"state machine", four + "state_machine: 7up\n", `f:6: state_machine: is "7up", allowed is a name of 1 to 64 letters`},
		{"cluster id too short", four + "cluster_id: abcd\n", `f:6: cluster_id: is "abcd", allowed are 64 hexadecimal digits, not all zero`},
		{"cluster id zero", four + "cluster_id: " + strings.Repeat("0", 64) + "\n", `f:6: cluster_id: is ` + strings.Repeat("0", 64) + `, allowed are 64`},
		{"reply host a URL", four + "allow_reply_hosts:\n- a\n- http://b\n", `f:8: allow_reply_hosts[1]: is "http://b", allowed is a host name`},
		{"reply hosts no list", four + "allow_reply_hosts: a\n", `f:6: allow_reply_hosts: is "a", must be a list`},

		{"window too large for a view change", nodesOnly(16) + "ckpt_interval: 128\n", `f:18: ckpt_interval: is 128, makes a window of 512 batches with window_checkpoints, 4: a view change among 16 replicas describes at most 480, so the most allowed is 120`},
		{"window too small for batches", four + "window_bytes: 1 MiB\n", `f:6: window_bytes: is 1 MiB, leaves 4096 bytes for each batch of two checkpoint intervals of 128 batches, needs 260 KiB: allowed are 65 MiB and more`},
		{"interval too large for the window", four + "ckpt_interval: 1000\nwindow_checkpoints: 2\n", `f: window_bytes: is 256 MiB (default), leaves 134217 bytes`},
		{"cached result larger than the cache", four + "reply_bytes: 2 KiB\n", `f: max_cached_result: is 4 KiB (default), must be at most reply_bytes, 2 KiB`},
		{"too few pending", four + "max_pending: 1000\n", `f:6: max_pending: is 1000, must be at least 1024: each of 4 replicas needs room for a group of 256`},
		{"too few pending bytes", four + "max_pending_bytes: 3 MiB\n", `f:6: max_pending_bytes: is 3 MiB, must be at least 4 MiB: each of 4 replicas needs room for max_batch_bytes, 1 MiB`},
		{"too few bytes per client", four + "client_pending_bytes: 512 KiB\n", `f:6: client_pending_bytes: is 512 KiB, must be at least max_batch_bytes, 1 MiB`},
		{"repair below a batch", four + "status_budget: 512 KiB\n", `f:6: status_budget: is 512 KiB, must be at least max_batch_bytes, 1 MiB`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("f", []byte(tt.text))
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			if c != nil {
				t.Error("a configuration beside an error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnceUpToALimit(t *testing.T) {
	_, err := Parse("f", []byte(four+"loss%: 101\ndepth: 0\nlos: 1\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three lines:\n%v", err)
	}
	_, err = Parse("f", []byte(four+strings.Repeat("los: 1\n", 100)))
	if err == nil || !strings.HasSuffix(err.Error(), "\nf: and 80 problems more") {
		t.Errorf("no limit:\n%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{sample, four, "", "[", "nodes: [{host: ::1, port: 1}]", four + "<<: *a\n", four + "loss%: !!float 1\nx: &a [*a]\n", "? [a]\n: b\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			return
		}
		out, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse("f", out)
		if err != nil {
			t.Fatalf("%s\nis refused when printed as\n%s\n%v", data, out, err)
		}
		if c.Digest() != d.Digest() || c.ClusterID != d.ClusterID {
			t.Fatalf("%s\nreads back as another configuration:\n%s", data, out)
		}
	})
}
