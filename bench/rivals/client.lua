-- One row a request, under an id of its own where a row has an id. BODIES is the file of rows, SALT keeps the ids of
-- two runs apart.
local heads, tails, count, sent = {}, {}, 0, 0
local salt = os.getenv("SALT")

function init(_)
  for line in io.lines(os.getenv("BODIES")) do
    local from, to = line:find("@ID@", 1, true)
    count = count + 1
    heads[count] = from and line:sub(1, from - 1) or line
    tails[count] = from and line:sub(to + 1)
  end
  wrk.method = "POST"
  wrk.headers["content-type"] = "application/json"
end

function request()
  sent = sent + 1
  local place = sent % count + 1
  local id = tails[place] and salt .. string.format("%08d", sent) .. tails[place] or ""
  return wrk.format(nil, nil, nil, heads[place] .. id)
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"rate": %.1f, "requests": %d, "p50": %.3f, "p99": %.3f, "max": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests / summary.duration * 1e6, summary.requests, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
