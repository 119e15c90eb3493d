package codectest_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/codectest"
	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
)

func TestMsgpack(t *testing.T) {
	codectest.Run(t, codectest.Codec{Codec: msgpack.Codec{}, Marshal: msgpack.Marshal, Unmarshal: msgpack.Unmarshal})
}

func TestJSON(t *testing.T) {
	codectest.Run(t, codectest.Codec{
		Codec: json.Codec{}, Marshal: json.Marshal, Unmarshal: json.Unmarshal,
		FiniteOnly: true, Years9999: true,
	})
}

func TestCarp(t *testing.T) {
	codectest.Run(t, codectest.Codec{
		Codec: carp.Codec{}, Marshal: carp.Marshal, Unmarshal: carp.Unmarshal,
		Years9999: true,
	})
}
