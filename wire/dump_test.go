package wire

import "testing"

func TestDumpEntriesAreWrittenAsPythonDoes(t *testing.T) {
	for _, tt := range []struct {
		client string
		number uint64
		op     string
		want   string
	}{
		{"0", 0, "x", `[[0, 0], "x"]`},
		{"9007199254740991", 9007199254740991, "", `[[9007199254740991, 9007199254740991], ""]`},
		{"9007199254740992", 1, "x", `[["9007199254740992", 1], "x"]`},
		{"00", 1, "x", `[["00", 1], "x"]`},
		{"-1", 1, "x", `[["-1", 1], "x"]`},
		{"99999999999999999999999", 1, "x", `[["99999999999999999999999", 1], "x"]`},
		{"alice", 7, "hé", `[["alice", 7], "h\u00e9"]`},
		{"1", 1, "a\"\\/\b\f\n\r\t\x00\x1f\x7f<>&", `[[1, 1], "a\"\\/\b\f\n\r\t\u0000\u001f\u007f<>&"]`},
		{"1", 1, "\u2028😀", `[[1, 1], "\u2028\ud83d\ude00"]`},
		{"1", 1, "\xff\x00", `[[1, 1], {"base64": "/wA="}]`},
	} {
		if got := string(AppendDumpEntry(nil, tt.client, tt.number, []byte(tt.op))); got != tt.want {
			t.Errorf("%q %q becomes %s, want %s", tt.client, tt.op, got, tt.want)
		}
	}
}
