// Command browser serves a page that calls a gateway by its WebSocket. See README.md.
package main

import (
	"embed"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// defaultClient is the folder of the built package, from the folder of this example.
const defaultClient = "../../clients/node/dist"

//go:embed index.html page.js
var page embed.FS

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "address to listen on")
	client := flag.String("client", defaultClient, "folder dist of the package @oskadev/mailroom")
	flag.Parse()
	if err := check(*client); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", *listen)
	server := &http.Server{Addr: *listen, Handler: handler(*client), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// check reports whether the package is built.
func check(client string) error {
	if _, err := os.Stat(filepath.Join(client, "client.js")); err != nil {
		return fmt.Errorf("the package is not built; run npm ci && npm run build in clients/node: %w", err)
	}
	return nil
}

// handler serves the page, and the package in /client/.
func handler(client string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(page))
	mux.Handle("/client/", http.StripPrefix("/client/", http.FileServer(http.Dir(client))))
	return mux
}
