package wire

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

func decode(body string, m proto.Message) error {
	return Marshaler{}.NewDecoder(strings.NewReader(body)).Decode(m)
}

func TestJSONIsReadAsWritten(t *testing.T) {
	for _, c := range []struct {
		body string
		want proto.Message
	}{
		{
			` { "id" : [ 1 , 18446744073709551615 ],
			"client_url":"http://localhost:1/reply","timestamp":1700000000.5,"data":"ü\ud83d\ude00\\ud800\n"} `,
			&pbftv1.OrderRequest{
				Id: []uint64{1, math.MaxUint64}, ClientUrl: new("http://localhost:1/reply"),
				Timestamp: new(1700000000.5), Data: new("ü😀\\ud800\n"),
			},
		},
		{`{"timestamp":17e8,"id":[]}`, &pbftv1.OrderRequest{Timestamp: new(17e8)}},
		{`{"data":"","timestamp":0}`, &pbftv1.OrderRequest{Data: new(""), Timestamp: new(0.0)}},
		{`{}`, &pbftv1.OrderRequest{}},
		{
			`{"client":"c","session":9223372036854775808,"kind":"REQUEST_KIND_READ","op":"+/8=","signature":""}`,
			&pbftv1.SubmitRequest{Client: "c", Session: 1 << 63, Kind: pbftv1.RequestKind_REQUEST_KIND_READ, Op: []byte{0xfb, 0xff}},
		},
		{
			`{"type":"reply","proposal":{"id":[1,7]},"index":4294967295}`,
			&pbftv1.ReplyRequest{Type: "reply", Proposal: &pbftv1.Proposal{Id: []uint64{1, 7}}, Index: math.MaxUint32},
		},
		{
			`{"info":{"normal":true},"blocks":[{"results":[{"tombstone":{"size":1}},{"result":"AA=="}]},{}]}`,
			&pbftv1.SessionResponse{
				Info: &pbftv1.ServerInfo{Normal: true},
				Blocks: []*pbftv1.BlockReply{{Results: []*pbftv1.Result{
					{Outcome: &pbftv1.Result_Tombstone{Tombstone: &pbftv1.Tombstone{Size: 1}}},
					{Outcome: &pbftv1.Result_Result{Result: []byte{0}}},
				}}, {}},
			},
		},
		{`{"wall_us":-9223372036854775808}`, &pbftv1.Header{WallUs: math.MinInt64}},
		{`{"value":-2147483648}`, wrapperspb.Int32(math.MinInt32)},
		{`{"value":-0.25}`, wrapperspb.Float(-0.25)},
	} {
		got := c.want.ProtoReflect().New().Interface()
		if err := decode(c.body, got); err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s:\n got %v, %v\nwant %v", c.body, got, err, c.want)
		}
	}
}

func TestJSONReplacesTheMessage(t *testing.T) {
	m := &pbftv1.OrderRequest{Id: []uint64{1}, Data: new("old")}
	if err := (Marshaler{}).Unmarshal([]byte(`{"id":[2]}`), m); err != nil || !proto.Equal(m, &pbftv1.OrderRequest{Id: []uint64{2}}) {
		t.Errorf("%v, %v", m, err)
	}
}

func TestJSONRefusesWhatDoesNotFit(t *testing.T) {
	const (
		order  = "order"
		submit = "submit"
		reply  = "reply"
		header = "header"
		u64    = "need a whole number from 0 to 18446744073709551615"
	)
	messages := map[string]func() proto.Message{
		order:  func() proto.Message { return new(pbftv1.OrderRequest) },
		submit: func() proto.Message { return new(pbftv1.SubmitRequest) },
		reply:  func() proto.Message { return new(pbftv1.ReplyRequest) },
		header: func() proto.Message { return new(pbftv1.Header) },
	}
	for _, c := range []struct{ message, body, want string }{
		// the body as a whole
		{order, "", "body: empty, need a JSON object"},
		{order, " \n", "body: empty, need a JSON object"},
		{order, "null", "body: null, need an object"},
		{order, "[]", "body: a list, need an object"},
		{order, `"x"`, `body: string "x", need an object`},
		{order, "7", "body: number 7, need an object"},
		{order, "true", "body: true, need an object"},
		{order, "{", "body: the JSON ends early, after 1 bytes"},
		{order, `{"id"`, "id: the JSON ends early, after 5 bytes"},
		{order, `{"id":[1,2]`, "body: the JSON ends early, after 11 bytes"},
		{order, `{"data":"x`, "data: the JSON ends early, after 10 bytes"},
		{order, `{}{}`, "body: more follows behind the object, which must be all"},
		{order, `{} x`, "body: more follows behind the object, which must be all"},
		{order, "hello", "body: malformed JSON behind byte 0"},
		{order, `{id:[1]}`, "body: malformed JSON behind byte 1"},
		{order, `{"id":[1,]}`, "id[1]: malformed JSON behind byte 8"},
		{order, `{"data":"x",}`, "body: malformed JSON behind byte 11"},
		{order, `{"data":'x'}`, "data: malformed JSON behind byte 7"},
		{order, "\xef\xbb\xbf{}", "body: malformed JSON behind byte 0"},
		{order, `{"id":` + strings.Repeat("[", 100_000), "id[0]: a list, " + u64},
		{order, strings.Repeat(`{"id":`, 100_000), "id: an object, need a list"},
		// fields
		{order, `{"idd":1}`, "idd: unknown field, allowed are id, client_url, timestamp, data"},
		{order, `{"clientUrl":"x"}`, "clientUrl: unknown field, allowed are id, client_url, timestamp, data"},
		{order, `{"":1}`, "body: unknown field, allowed are id, client_url, timestamp, data"},
		{order, `{"` + strings.Repeat("k", 100) + `":1}`, strings.Repeat("k", 64) + "…: unknown field, allowed are id, client_url, timestamp, data"},
		{order, `{"data":"a","id":[],"data":"b"}`, "data: given twice"},
		{order, `{"id":[1],"id":[2]}`, "id: given twice"},
		{order, "{\"\xff\":1}", "body: invalid UTF-8"},
		{reply, `{"proposal":{"id":[1,"2"]}}`, `proposal.id[1]: string "2", ` + u64},
		{reply, `{"proposal":{"foo":1}}`, "proposal.foo: unknown field, allowed are id, client_url, timestamp, data"},
		{reply, `{"proposal":[]}`, "proposal: a list, need an object"},
		// numbers
		{order, `{"id":null}`, "id: null, need a list"},
		{order, `{"id":1}`, "id: number 1, need a list"},
		{order, `{"id":{"a":1}}`, "id: an object, need a list"},
		{order, `{"id":["1",2]}`, `id[0]: string "1", ` + u64},
		{order, `{"id":[1,-1]}`, "id[1]: number -1, " + u64},
		{order, `{"id":[1.5]}`, "id[0]: number 1.5, " + u64},
		{order, `{"id":[1.0]}`, "id[0]: number 1.0, " + u64},
		{order, `{"id":[2e3]}`, "id[0]: number 2e3, " + u64},
		{order, `{"id":[18446744073709551616]}`, "id[0]: number 18446744073709551616, " + u64},
		{order, `{"id":[null]}`, "id[0]: null, " + u64},
		{order, `{"id":[true]}`, "id[0]: true, " + u64},
		{order, `{"id":[[1]]}`, "id[0]: a list, " + u64},
		{order, `{"id":[01]}`, "id[1]: malformed JSON behind byte 8"},
		{reply, `{"index":4294967296}`, "index: number 4294967296, need a whole number from 0 to 4294967295"},
		{header, `{"wall_us":9223372036854775808}`, "wall_us: number 9223372036854775808, need a whole number from -9223372036854775808 to 9223372036854775807"},
		{order, `{"timestamp":NaN}`, "timestamp: malformed JSON behind byte 12"},
		{order, `{"timestamp":"NaN"}`, `timestamp: string "NaN", need a number from -1.7976931348623157e+308 to 1.7976931348623157e+308`},
		{order, `{"timestamp":"Infinity"}`, `timestamp: string "Infinity", need a number from -1.7976931348623157e+308 to 1.7976931348623157e+308`},
		{order, `{"timestamp":1e999}`, `timestamp: number 1e999, need a number from -1.7976931348623157e+308 to 1.7976931348623157e+308`},
		{order, `{"timestamp":"1"}`, `timestamp: string "1", need a number from -1.7976931348623157e+308 to 1.7976931348623157e+308`},
		// text, bytes, enums
		{order, `{"data":7}`, "data: number 7, need a string"},
		{order, `{"data":null}`, "data: null, need a string"},
		{order, "{\"data\":\"\xff\"}", "data: invalid UTF-8"},
		{order, `{"data":"\ud800"}`, `data: a \u escape is half of a surrogate pair`},
		{order, `{"data":"\ude00\ud83d"}`, `data: a \u escape is half of a surrogate pair`},
		{order, `{"data":"\ud83dx\ude00"}`, `data: a \u escape is half of a surrogate pair`},
		{order, "{\"data\":\"\n\"}", "data: malformed JSON behind byte 7"},
		{submit, `{"op":"AA"}`, `op: string "AA", need standard base64 with padding in a string`},
		{submit, `{"op":"-_8="}`, `op: string "-_8=", need standard base64 with padding in a string`},
		{submit, `{"op":"AB=="}`, `op: string "AB==", need standard base64 with padding in a string`},
		{submit, `{"op":"AA\n=="}`, `op: string "AA\n==", need standard base64 with padding in a string`},
		{submit, `{"op":"` + strings.Repeat("!", 100) + `"}`, `op: string "` + strings.Repeat("!", 63) + `…, need standard base64 with padding in a string`},
		{submit, `{"kind":"READ"}`, `kind: string "READ", need one of REQUEST_KIND_UNSPECIFIED, REQUEST_KIND_OPERATION, REQUEST_KIND_READ, REQUEST_KIND_CONFIG, REQUEST_KIND_REJOIN`},
		{submit, `{"kind":1}`, `kind: number 1, need one of REQUEST_KIND_UNSPECIFIED, REQUEST_KIND_OPERATION, REQUEST_KIND_READ, REQUEST_KIND_CONFIG, REQUEST_KIND_REJOIN`},
	} {
		err := decode(c.body, messages[c.message]())
		if err == nil || err.Error() != c.want {
			t.Errorf("%.80s:\n got %v\nwant %s", c.body, err, c.want)
		}
		var fe *FieldError
		if !errors.As(err, &fe) {
			t.Errorf("%.80s: %T, want a *FieldError", c.body, err)
		}
	}
}

func TestJSONRefusesTwoMembersOfAOneof(t *testing.T) {
	err := decode(`{"result":"","tombstone":{}}`, new(pbftv1.Result))
	if want := "tombstone: not allowed beside result"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestJSONBoolIsNoOtherValue(t *testing.T) {
	for _, body := range []string{`{"normal":1}`, `{"normal":"true"}`, `{"normal":null}`} {
		err := decode(body, new(pbftv1.ServerInfo))
		if err == nil || !strings.HasSuffix(err.Error(), ", need true or false") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestJSONNestingIsBounded(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat(`{"nested_type":[`, depth-1) + "{}" + strings.Repeat("]}", depth-1)
	}
	if err := decode(nested(16), new(descriptorpb.DescriptorProto)); err != nil {
		t.Error(err)
	}
	var fe *FieldError
	if err := decode(nested(17), new(descriptorpb.DescriptorProto)); !errors.As(err, &fe) || fe.Description != "nested 17 deep, allowed are 16" {
		t.Error(err)
	}
}

func TestBodyRemembersTheFieldError(t *testing.T) {
	body := &Body{ReadCloser: io.NopCloser(strings.NewReader(`{"id":["1"]}`))}
	err := Marshaler{}.NewDecoder(body).Decode(new(pbftv1.OrderRequest))
	if err == nil || body.Err == nil || body.Err.Field != "id[0]" || body.Err.Error() != err.Error() {
		t.Errorf("%v, remembered %v", err, body.Err)
	}
	body = &Body{ReadCloser: io.NopCloser(strings.NewReader(`{}`))}
	if err := (Marshaler{}).NewDecoder(body).Decode(new(pbftv1.OrderRequest)); err != nil || body.Err != nil {
		t.Errorf("%v, remembered %v", err, body.Err)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestDecoderPassesReadErrorsOn(t *testing.T) {
	want := errors.New("body is over the limit")
	if err := (Marshaler{}).NewDecoder(failingReader{want}).Decode(new(pbftv1.OrderRequest)); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestJSONIsWrittenWithNumbersAndProtoNames(t *testing.T) {
	for _, c := range []struct {
		m    any
		want string
	}{
		{&pbftv1.OrderResponse{Id: []uint64{1, math.MaxUint64}, Status: "ACCEPTED", Index: new(uint32(0))},
			`{"id":[1,18446744073709551615],"status":"ACCEPTED","index":0}`},
		{&pbftv1.ReplyRequest{View: 1, Proposal: &pbftv1.Proposal{ClientUrl: new("http://x/?a=1&b=<2>"), Timestamp: new(1700000000.5)}},
			`{"index":0,"view":1,"proposal":{"id":[],"client_url":"http://x/?a=1&b=<2>","timestamp":1700000000.5},"type":"","seq":0,"status":""}`},
		{&pbftv1.Result{Status: 2, Outcome: &pbftv1.Result_Result{Result: []byte{0xfb, 0xff}}},
			`{"n":0,"number":0,"status":"REPLY_STATUS_EXPIRED","result":"+/8="}`},
		{&pbftv1.Result{Status: 77}, `{"n":0,"number":0,"status":77}`},
		{&pbftv1.Header{WallUs: math.MinInt64}, `{"epoch":0,"n":0,"wall_us":-9223372036854775808,"count":0,"bytes":0,"groups_root":""}`},
		{&pbftv1.Proposal{Data: new("\"\\\n\x00ü😀\u2028")}, `{"id":[],"data":"\"\\\n\u0000ü😀\u2028"}`},
		{&pbftv1.Proposal{Timestamp: new(9007199254740991.0)}, `{"id":[],"timestamp":9007199254740991}`},
		{&pbftv1.Proposal{Timestamp: new(1e21)}, `{"id":[],"timestamp":1e+21}`},
		{&pbftv1.Proposal{Timestamp: new(-1e-7)}, `{"id":[],"timestamp":-1e-07}`},
		{wrapperspb.Float(0.1), `{"value":0.1}`},
		{wrapperspb.Bool(true), `{"value":true}`},
		{map[string]string{"code": "NOT_FOUND"}, `{"code":"NOT_FOUND"}`},
	} {
		var b bytes.Buffer
		if err := (Marshaler{}).NewEncoder(&b).Encode(c.m); err != nil || b.String() != c.want {
			t.Errorf("%v, %v\n got %s\nwant %s", c.m, err, b.String(), c.want)
		}
	}
}

func TestJSONRefusesToWriteWhatItCannotSay(t *testing.T) {
	for want, m := range map[string]proto.Message{
		"json: pbft.v1.Proposal.timestamp is NaN, which JSON cannot say":  &pbftv1.ReplyRequest{Proposal: &pbftv1.Proposal{Timestamp: new(math.NaN())}},
		"json: pbft.v1.Proposal.timestamp is -Inf, which JSON cannot say": &pbftv1.Proposal{Timestamp: new(math.Inf(-1))},
		"json: pbft.v1.OrderResponse.status is no valid UTF-8":            &pbftv1.OrderResponse{Status: "\xff"},
	} {
		if b, err := (Marshaler{}).Marshal(m); err == nil || err.Error() != want {
			t.Errorf("%s, %v, want %s", b, err, want)
		}
	}
}

func TestJSONTakesMessagesOnly(t *testing.T) {
	if err := (Marshaler{}).Unmarshal([]byte("{}"), new(struct{})); err == nil {
		t.Error("decoded into a struct")
	}
	if got := (Marshaler{}).ContentType(nil); got != "application/json" {
		t.Error(got)
	}
}

// The marshaler knows neither maps nor the special JSON of well-known types.
func TestMessagesUseWhatJSONKnows(t *testing.T) {
	var check func(messages protoreflect.MessageDescriptors)
	check = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			fds := messages.Get(i).Fields()
			for j := range fds.Len() {
				fd := fds.Get(j)
				if fd.IsMap() || fd.Message() != nil && fd.Message().ParentFile().Package() != "pbft.v1" {
					t.Errorf("%s: the JSON marshaler has no form for it", fd.FullName())
				}
			}
			check(messages.Get(i).Messages())
		}
	}
	files := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("pbft.v1", func(fd protoreflect.FileDescriptor) bool {
		files++
		check(fd.Messages())
		return true
	})
	if files == 0 {
		t.Error("no files of pbft.v1")
	}
}

// What is accepted means the same to protobuf's own mapping, and comes back
// the same.
func FuzzJSON(f *testing.F) {
	for _, body := range []string{
		`{"id":[1,2],"client_url":"http://localhost:1/reply","timestamp":1700000000.5,"data":"x"}`,
		`{"index":1,"view":2,"proposal":{"id":[1,7],"data":"\ud83d\ude00"},"type":"reply","result_base64":"AA=="}`,
		`{"client":"c","session":1,"number":2,"kind":"REQUEST_KIND_READ","op":"AA==","client_time":1e-7}`,
		`{"blocks":[{"handle":1,"n":2,"digest":"AA==","results":[{"status":"REPLY_STATUS_OK","tombstone":{"size":3}}]}],"info":{"normal":true}}`,
		`{"epoch":1,"wall_us":-5}`,
		`{"id":["1"],"x":null}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, m := range []proto.Message{
			new(pbftv1.OrderRequest), new(pbftv1.ReplyRequest), new(pbftv1.SubmitRequest), new(pbftv1.SessionResponse), new(pbftv1.Header),
		} {
			if err := (Marshaler{}).Unmarshal(body, m); err != nil {
				var fe *FieldError
				if !errors.As(err, &fe) || fe.Description == "" {
					t.Fatalf("%T: %#v", m, err)
				}
				continue
			}
			want := m.ProtoReflect().New().Interface()
			if err := protojson.Unmarshal(body, want); err != nil || !proto.Equal(m, want) {
				t.Fatalf("%T: %v, protojson %v, %v", m, m, want, err)
			}
			b, err := Marshaler{}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			again := m.ProtoReflect().New().Interface()
			if err := (Marshaler{}).Unmarshal(b, again); err != nil || !proto.Equal(again, m) {
				t.Fatalf("%s: %v, want %v; %v", b, again, m, err)
			}
			if err := protojson.Unmarshal(b, again); err != nil || !proto.Equal(again, m) {
				t.Fatalf("%s: protojson %v, want %v; %v", b, again, m, err)
			}
		}
	})
}
