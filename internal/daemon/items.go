package daemon

import (
	"context"
	"crypto/ed25519"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/swarm/dht"
)

// items are the DHT's mutable items as deliver wants them, where a repository is found without its origin.
type items struct{ node *dht.Node }

// itemsOf is nil without a DHT.
func itemsOf(n *dht.Node) deliver.Items {
	if n == nil {
		return nil
	}
	return items{n}
}

func (i items) GetItem(ctx context.Context, key ed25519.PublicKey, salt []byte) (*release.Item, error) {
	x, err := i.node.GetMutable(ctx, key, salt)
	if err != nil {
		return nil, err
	}
	return &release.Item{Key: x.Key, Salt: x.Salt, Seq: x.Seq, Value: x.Value, Signature: x.Signature}, nil
}

func (i items) PutItem(ctx context.Context, x *release.Item) error {
	_, err := i.node.PutMutable(ctx, dht.Item{Key: x.Key, Salt: x.Salt, Seq: x.Seq, Value: x.Value, Signature: x.Signature}, nil)
	return err
}
