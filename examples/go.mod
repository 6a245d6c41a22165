module vera/examples

go 1.26.8

replace vera => ../

require (
	github.com/miekg/dns v1.1.73
	go.uber.org/goleak v1.3.0
	vera v0.0.0
)

require (
	github.com/coder/websocket v1.8.15 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
