//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"shoal/scripts/internal/program"
)

// nginx is a running nginx.
type nginx struct {
	*program.Running
	url string
}

// nginx starts it with what its one server does.
func (b *bench) nginx(ctx context.Context, server string) (*nginx, error) {
	dir, err := os.MkdirTemp(b.dir, "nginx-")
	if err != nil {
		return nil, err
	}
	addr, err := program.FreeAddr()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`user root;
daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000;
	open_file_cache max=1000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server { listen %[2]s; %[3]s }
}
`, dir, addr, server)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	r, err := program.Start(ctx, "nginx", "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", config)
	if err != nil {
		return nil, err
	}
	if err := r.Answers(ctx, addr); err != nil {
		return nil, err
	}
	return &nginx{r, "http://" + addr}, nil
}
