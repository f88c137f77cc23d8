package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// scalar is the value of t for a field that is no message, or what is wrong
// with it.
func scalar(t json.Token, fd protoreflect.FieldDescriptor) (v protoreflect.Value, wrong string) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		if b, ok := t.(bool); ok {
			return protoreflect.ValueOfBool(b), ""
		}
		return v, describe(t) + ", need true or false"
	case protoreflect.StringKind:
		if s, ok := t.(string); ok {
			return protoreflect.ValueOfString(s), ""
		}
		return v, describe(t) + ", need a string"
	case protoreflect.BytesKind:
		return base64Bytes(t)
	case protoreflect.EnumKind:
		return enumValue(t, fd.Enum())
	case protoreflect.DoubleKind:
		f, wrong := float(t, 64)
		return protoreflect.ValueOfFloat64(f), wrong
	case protoreflect.FloatKind:
		f, wrong := float(t, 32)
		return protoreflect.ValueOfFloat32(float32(f)), wrong
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		u, wrong := unsigned(t, 64)
		return protoreflect.ValueOfUint64(u), wrong
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		u, wrong := unsigned(t, 32)
		return protoreflect.ValueOfUint32(uint32(u)), wrong
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		i, wrong := signed(t, 64)
		return protoreflect.ValueOfInt64(i), wrong
	default:
		i, wrong := signed(t, 32)
		return protoreflect.ValueOfInt32(int32(i)), wrong
	}
}

// unsigned is a whole number as JSON spells it: no exponent, no fraction, no
// quotes.
func unsigned(t json.Token, bits int) (uint64, string) {
	if n, ok := t.(json.Number); ok {
		if v, err := strconv.ParseUint(n.String(), 10, bits); err == nil {
			return v, ""
		}
	}
	return 0, fmt.Sprintf("%s, need a whole number from 0 to %d", describe(t), uint64(math.MaxUint64)>>(64-bits))
}

func signed(t json.Token, bits int) (int64, string) {
	if n, ok := t.(json.Number); ok {
		if v, err := strconv.ParseInt(n.String(), 10, bits); err == nil {
			return v, ""
		}
	}
	most := int64(math.MaxInt64) >> (64 - bits)
	return 0, fmt.Sprintf("%s, need a whole number from %d to %d", describe(t), -most-1, most)
}

func float(t json.Token, bits int) (float64, string) {
	if n, ok := t.(json.Number); ok {
		if v, err := strconv.ParseFloat(n.String(), bits); err == nil {
			return v, ""
		}
	}
	most := math.MaxFloat64
	if bits == 32 {
		most = math.MaxFloat32
	}
	return 0, fmt.Sprintf("%s, need a number from %g to %g", describe(t), -most, most)
}

func base64Bytes(t json.Token) (protoreflect.Value, string) {
	// The decoder skips line breaks; nothing else does.
	if s, ok := t.(string); ok && !strings.ContainsAny(s, "\r\n") {
		if b, err := base64.StdEncoding.Strict().DecodeString(s); err == nil {
			return protoreflect.ValueOfBytes(b), ""
		}
	}
	return protoreflect.Value{}, describe(t) + ", need standard base64 with padding in a string"
}

func enumValue(t json.Token, ed protoreflect.EnumDescriptor) (protoreflect.Value, string) {
	if s, ok := t.(string); ok {
		if d := ed.Values().ByName(protoreflect.Name(s)); d != nil {
			return protoreflect.ValueOfEnum(d.Number()), ""
		}
	}
	values := ed.Values()
	list := make([]string, values.Len())
	for i := range list {
		list[i] = string(values.Get(i).Name())
	}
	return protoreflect.Value{}, describe(t) + ", need one of " + strings.Join(list, ", ")
}
