#!/usr/bin/env bash
# How fast is a tile over HTTP: computed, cached (beside a bare hyper server), and the first after a start?
#
#   benches/serve.sh WORKSPACE LAYER [SMALL_SOURCE]
#
# 1  the tile nearest 100 KB at the layer's natural zoom, cache=skip: median and p99 with one client
#    on one thread, by phase; requests a second and memory with 100 clients on all cores
# 2  cached tiles with keep-alive beside `examples/hello.rs` sending as many bytes, in the same run
# 4  start to first tile on a workspace with 1 000 layers made from SMALL_SOURCE
#
# Needs wrk, curl and python3. Everything is on the loopback device.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# -ge 2 ]] || { echo "usage: $0 WORKSPACE LAYER [SMALL_SOURCE]" >&2; exit 2; }
readonly WORKSPACE=$1 LAYER=$2 SMALL_SOURCE=${3:-}
readonly SECONDS_EACH=${SECONDS_EACH:-5}
readonly PORT=${PORT:-18480}
readonly HELLO_PORT=$((PORT + 1))
readonly URL=http://127.0.0.1:$PORT
readonly BIN=${CARGO_TARGET_DIR:-target}/release
scratch=$(mktemp -d)
server=
hello=

finish() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    [[ -z $hello ]] || kill "$hello" 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap finish EXIT

start() { # workspace flags…
    "$BIN/onemap" serve "$1" --listen "127.0.0.1:$PORT" --log warn "${@:2}" >"$scratch/out" &
    server=$!
    until curl -sf -o "$scratch/ready" "$URL/health/ready"; do sleep 0.01; done
}

stop() {
    kill "$server"
    wait "$server" || true
    server=
}

rate() { # seconds clients url [wrk flags…]
    wrk -t1 -c"$2" -d"$1s" "${@:4}" "$3" >"$scratch/wrk"
    if grep -E "Non-2xx|Socket errors" "$scratch/wrk" >&2; then
        echo "errors under load" >&2
        exit 1
    fi
    awk '/Requests\/sec/ { printf "%.0f", $2 }' "$scratch/wrk"
}

# BUILD=0 measures what was built before.
[[ ${BUILD:-1} == 0 ]] || cargo build --release --locked --quiet --bin onemap --example hello

echo "== 1. computed tile, one thread, one client"
start "$WORKSPACE" --allow-cache-skip --threads 1
python3 - "$URL" "$LAYER" "$scratch/tile" <<'PYTHON'
import http.client, json, math, statistics, sys, time, urllib.parse

url, layer, chosen = sys.argv[1:]
host = urllib.parse.urlparse(url).netloc
connection = http.client.HTTPConnection(host)

def ask(path):
    connection.request("GET", path)
    reply = connection.getresponse()
    return reply, reply.read()

catalog = json.loads(ask("/layers.json")[1])
entry = next(l for l in catalog["layers"] if l["name"] == layer)
zoom = entry.get("natural_zoom") or entry["maxzoom"]
w, s, e, n = entry["bounds"]

def tile(lon, lat):
    side = 1 << zoom
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return int((lon + 180) / 360 * side), int(y * side)

x0, y0 = tile(w, n)
x1, y1 = tile(e, s)
best = None
for x in range(x0, x1 + 1):
    for y in range(y0, y1 + 1):
        path = f"/tiles/{layer}/{zoom}/{x}/{y}.mvt?cache=skip"
        size = len(ask(path)[1])
        if best is None or abs(size - 100_000) < abs(best[1] - 100_000):
            best = (path, size)
path, size = best
took, phases = [], {}
for _ in range(1000):
    started = time.perf_counter()
    reply, _ = ask(path)
    took.append((time.perf_counter() - started) * 1e3)
    for item in reply.headers["server-timing"].split(", "):
        name, ms = item.split(";dur=")
        phases.setdefault(name, []).append(float(ms))
took.sort()
print(f"{path}: {size} bytes")
print(f"median {statistics.median(took):.2f} ms, p99 {took[989]:.2f} ms, largest {took[-1]:.2f} ms")
total = sum(statistics.mean(v) for v in phases.values())
for name, values in phases.items():
    print(f"  {name:9}{statistics.median(values):7.3f} ms  {100 * statistics.mean(values) / total:4.1f} %")
open(chosen, "w").write(path)
PYTHON
stop
tile=$(<"$scratch/tile")

echo "== 1. computed tile, 100 clients, all cores"
start "$WORKSPACE" --allow-cache-skip
echo "$(rate "$SECONDS_EACH" 100 "$URL$tile") tiles/s, p50/p99 $(
    wrk -t1 -c100 -d"${SECONDS_EACH}s" --latency "$URL$tile" | awk '/ 50%/ { a = $2 } / 99%/ { print a "/" $2 }'
), peak memory $(awk '/VmHWM/ { print $2 / 1024 " MB" }' "/proc/$server/status")"
stop

echo "== 2. cached tile beside a bare hyper server with as many bytes"
start "$WORKSPACE"
compare() { # what path [wrk flags…]
    local bytes
    bytes=$(curl -s -o /dev/null -w '%{size_download}' "${@:3}" "$URL$2")
    "$BIN/examples/hello" "127.0.0.1:$HELLO_PORT" "$bytes" &
    hello=$!
    until curl -sf -o /dev/null "http://127.0.0.1:$HELLO_PORT/"; do sleep 0.01; done
    for _ in 1 2 3; do
        local bare tiles
        bare=$(rate "$SECONDS_EACH" 32 "http://127.0.0.1:$HELLO_PORT/" "${@:3}")
        tiles=$(rate "$SECONDS_EACH" 32 "$URL$2" "${@:3}")
        echo "$1 ($bytes bytes): $tiles/s of $bare/s = $((100 * tiles / bare)) %"
    done
    kill "$hello"
    wait "$hello" 2>/dev/null || true
    hello=
}
compare "plain tile" "${tile%%\?*}"
compare "gzip tile" "${tile%%\?*}" -H "Accept-Encoding: gzip"
compare "small document" "/tiles/$LAYER/0/0/0.mvt?fields=" -H "If-None-Match: *"
stop

if [[ -n $SMALL_SOURCE ]]; then
    echo "== 4. start to first tile, 1 000 layers"
    layers=()
    for i in $(seq 1000); do layers+=("layer$i=$SMALL_SOURCE"); done
    "$BIN/onemap" import "$scratch/many" "${layers[@]}" --quiet
    for _ in 1 2 3; do
        started=$(date +%s%N)
        start "$scratch/many"
        curl -sf -o /dev/null "$URL/tiles/layer500/0/0/0.mvt"
        echo "$((($(date +%s%N) - started) / 1000000)) ms"
        stop
    done
fi
