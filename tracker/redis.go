package tracker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is a log of announces in a Redis stream, see share.go. Trackers with the same server and database share their peers.
type Redis struct {
	client *redis.Client
	skew   atomic.Int64 // of the server's clock, a time.Duration
}

// The keys in the database.
const (
	redisStream = "shoal:tracker:announces"
	redisSecret = "shoal:tracker:secret"
	redisField  = "b"
)

// NewRedis takes the URL of a server, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or rediss:// for TLS. It does not connect.
func NewRedis(raw string) (*Redis, error) {
	options, err := redis.ParseURL(raw)
	if err != nil {
		var inURL *url.Error
		if errors.As(err, &inURL) {
			err = inURL.Err // without the URL, which may hold a password
		}
		return nil, fmt.Errorf("not the URL of a Redis server: %w", err)
	}
	options.MaxRetries = -1 // we wait and try again ourselves, and say so
	options.DialTimeout, options.WriteTimeout = 3*time.Second, 3*time.Second
	options.PoolSize, options.MaxIdleConns = 3, 2
	options.DisableIdentity = true
	return &Redis{client: redis.NewClient(options)}, nil
}

// Close ends its connections.
func (r *Redis) Close() error { return r.client.Close() }

// now is the time by the server's clock.
func (r *Redis) now() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) }

// Append implements announceLog.
func (r *Redis) Append(ctx context.Context, batch []byte, keep time.Duration) error {
	oldest := r.now().Add(-keep).UnixMilli()
	return r.client.XAdd(ctx, &redis.XAddArgs{Stream: redisStream, MinID: strconv.FormatInt(oldest, 10), Approx: true,
		Values: []any{redisField, batch}}).Err()
}

// Read implements announceLog.
func (r *Redis) Read(ctx context.Context, after string) (batches []batch, next string, err error) {
	streams, err := r.client.XRead(ctx, &redis.XReadArgs{Streams: []string{redisStream, after}, Count: 100, Block: time.Second}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, after, nil
	}
	if err != nil {
		return nil, after, err
	}
	now := r.now()
	for _, s := range streams {
		for _, m := range s.Messages {
			after = m.ID
			var ms int64
			fmt.Sscanf(m.ID, "%d-", &ms)
			if data, ok := m.Values[redisField].(string); ok {
				batches = append(batches, batch{[]byte(data), now.Sub(time.UnixMilli(ms))})
			}
		}
	}
	return batches, after, nil
}

// Position implements announceLog: ids of a stream are milliseconds of the server's clock.
func (r *Redis) Position(ctx context.Context, ago time.Duration) (string, error) {
	now, err := r.client.Time(ctx).Result()
	if err != nil {
		return "", err
	}
	r.skew.Store(int64(time.Until(now)))
	return strconv.FormatInt(now.Add(-ago).UnixMilli(), 10), nil
}

// Secret implements announceLog.
func (r *Redis) Secret(ctx context.Context, mine [32]byte) (secret [32]byte, err error) {
	if err := r.client.SetNX(ctx, redisSecret, mine[:], 0).Err(); err != nil {
		return secret, err
	}
	b, err := r.client.Get(ctx, redisSecret).Bytes()
	if err == nil && len(b) != len(secret) {
		err = fmt.Errorf("%s is not a secret of a tracker", redisSecret)
	}
	copy(secret[:], b)
	return secret, err
}
