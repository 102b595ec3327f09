package cli

import (
	"context"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"
	"syscall"

	"shoal/internal/daemon"
)

// reloads has SIGHUP read the configuration file again while a node runs, until ctx is done. What
// is different in it is applied if it is a limit, and else named. Without a file the signal means
// what it always does.
func (e *env) reloads(ctx context.Context, change func(map[string]string) error) {
	if !e.settings.has("config") || e.settings.String("config") == "" {
		return
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			e.reload(change)
		}
	}
}

// reloading is reloads beside what a command does until the function that it returns is called, for the nodes that run then. When none does, the next one
// begins with what the file says.
func (e *env) reloading(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var g sync.WaitGroup
	g.Go(func() {
		e.reloads(ctx, func(limits map[string]string) error {
			for p := range e.peers {
				if err := p.ChangeLimits(limits); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return func() {
		cancel()
		g.Wait()
	}
}

// reload merges the settings anew and applies what is different.
func (e *env) reload(change func(map[string]string) error) {
	e.limits.Lock()
	defer e.limits.Unlock()
	s, err := e.settings.again()
	if err != nil {
		e.log.Error("the configuration file is not applied", "err", err)
		return
	}
	limits, restart := map[string]string{}, []string{}
	for _, one := range s.list {
		switch was := e.settings.get(one.name); {
		case reflect.DeepEqual(was.value, one.value):
		case slices.Contains(daemon.LimitNames(), one.name):
			limits[one.name] = one.written()
		default:
			restart = append(restart, one.name)
		}
	}
	if err := change(limits); err != nil {
		e.log.Error("the configuration file is not applied", "err", err)
		return
	}
	e.log.Info("the configuration file was read again", "limits", len(limits))
	if len(restart) > 0 {
		e.log.Warn("changed in the configuration file, but only a restart applies it", "settings", restart)
	}
	for name := range limits { // what needs a restart differs still, and is named the next time too
		*e.settings.get(name) = *s.get(name)
	}
}
