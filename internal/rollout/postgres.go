package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenPostgres opens a store in a PostgreSQL database, postgres://…, which several origins may share, and makes its tables if they are not there.
func OpenPostgres(ctx context.Context, url string) (Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = max(cfg.MaxConns, 8)
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &postgresStore{pool}
	if err := s.makeTables(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("opening the fleet's database: %w", err)
	}
	return s, nil
}

type postgresStore struct{ pool *pgxpool.Pool }

// writersLock is the advisory lock that makes transactions which write one at a time, as bbolt's are: no other isolation has to be thought about then.
const writersLock = 0x73686f616c // "shoal"

func (s *postgresStore) makeTables(ctx context.Context) error {
	return s.transact(ctx, pgx.TxOptions{}, func(t *postgresTx) error {
		_, err := t.tx.Exec(ctx, `
			create table if not exists shoal_fleet (bucket text collate "C", key text collate "C", value bytea not null, primary key (bucket, key));
			create table if not exists shoal_fleet_sequences (bucket text primary key, last bigint not null)`)
		return err
	})
}

func (s *postgresStore) Close() error {
	s.pool.Close()
	return nil
}

func (s *postgresStore) Update(ctx context.Context, f func(Tx) error) error {
	return s.transact(ctx, pgx.TxOptions{}, func(t *postgresTx) error { return f(t) })
}

func (s *postgresStore) View(ctx context.Context, f func(Tx) error) error {
	return s.transact(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(t *postgresTx) error { return f(t) })
}

func (s *postgresStore) transact(ctx context.Context, o pgx.TxOptions, f func(*postgresTx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, o, func(tx pgx.Tx) error {
		t := &postgresTx{ctx: ctx, tx: tx}
		if o.AccessMode != pgx.ReadOnly {
			if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, writersLock); err != nil {
				return err
			}
		}
		if err := tx.QueryRow(ctx, `select clock_timestamp()`).Scan(&t.now); err != nil {
			return err
		}
		return f(t)
	})
}

// postgresTx is a Tx; ctx is that of the Update or View that it lives in.
type postgresTx struct {
	ctx context.Context
	tx  pgx.Tx
	now time.Time
}

func (t *postgresTx) Now() time.Time { return t.now }

func (t *postgresTx) Get(bucket, key string) (value []byte, err error) {
	err = t.tx.QueryRow(t.ctx, `select value from shoal_fleet where bucket = $1 and key = $2`, bucket, key).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return value, err
}

func (t *postgresTx) Put(bucket, key string, value []byte) error {
	if value == nil { // which would be NULL
		value = []byte{}
	}
	_, err := t.tx.Exec(t.ctx, `insert into shoal_fleet values ($1, $2, $3) on conflict (bucket, key) do update set value = excluded.value`, bucket, key, value)
	return err
}

func (t *postgresTx) Delete(bucket, key string) error {
	_, err := t.tx.Exec(t.ctx, `delete from shoal_fleet where bucket = $1 and key = $2`, bucket, key)
	return err
}

func (t *postgresTx) Each(bucket, prefix string, f func(key string, value []byte) error) error {
	// All rows are read before f is called, which may ask for others: a connection has one question at a time.
	rows, err := t.tx.Query(t.ctx, `select key, value from shoal_fleet where bucket = $1 and key >= $2 and key < $3 order by key`, bucket, prefix, after(prefix))
	if err != nil {
		return err
	}
	type row struct {
		Key   string
		Value []byte
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := f(r.Key, r.Value); err != nil {
			return err
		}
	}
	return nil
}

// after is a key that comes after all that begin with prefix, and before all others that come after it.
func after(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0x7e { // keys are ASCII
			return prefix[:i] + string(rune(prefix[i]+1))
		}
	}
	return strings.Repeat("\x7f", 8)
}

func (t *postgresTx) Next(bucket string) (n uint64, err error) {
	err = t.tx.QueryRow(t.ctx, `insert into shoal_fleet_sequences values ($1, 1) on conflict (bucket) do update set last = shoal_fleet_sequences.last + 1 returning last`, bucket).Scan(&n)
	return n, err
}
