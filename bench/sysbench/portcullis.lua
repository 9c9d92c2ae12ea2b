-- portcullis.lua - a Portcullis cluster as sysbench's database.
--
-- Puts objects with the methods of sysbench's own driver, connection, statement, parameter and
-- result in their place, and lets libportcullis do what they ask (libportcullis.lua); what is done
-- for each query of a prepared statement is in C, one call (statement.h):
--
--   con:query, con:prepare   a request each; parameters go as parameters, so that the node prepares
--                            (with --db-ps-mode=disable they are written into the text, as there)
--   BEGIN ... COMMIT         --portcullis-transactions: a session, a read-only session, or the
--                            statements gathered and sent as one `txn` at the COMMIT
--   errors                   counted, ignored and restarted as those of sysbench's MySQL driver are,
--                            by --mysql-ignore-errors; what is not the database's own gets the
--                            number that a MySQL client would see (ERRNO below)
--
-- Statistics are sysbench's own: queries are counted as its MySQL driver counts them, a COMMIT that
-- carries n statements as n + 1.
--
-- Threads.  sysbench runs a Lua state for each thread.  The channels that all of them share are
-- opened by init(), before there are threads, and handed on in environment variables, the one
-- thing that those states have in common.  Where init() is not run (prepare, cleanup) a state opens
-- a channel of its own.

local ffi = require("ffi")
local libraries = require("libportcullis")
local lib, own = libraries.lib, libraries.own

ffi.cdef [[
void sb_counter_inc(int thread_id, sb_counter_type type);
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
int usleep(unsigned int microseconds);
int getpid(void);
]]

local DDL_TIMEOUT_MS = 600000     -- of prepare and cleanup, whose statements take long
local BULK_SIZE_MAX = 256 * 1024  -- octets of one INSERT
local SPREAD_WAIT_S = 120         -- how long prepare waits for replicas
local MESSAGE_SIZE = 1024

local OPTIONS = {
   portcullis_bundle =
      {"Client bundle; empty: where libportcullis looks for one", ""},
   portcullis_connections =
      {"Connections that all threads share; 0: each thread has its own", 1},
   portcullis_transactions =
      {"What BEGIN to COMMIT become {session, read-only, txn}: a session, a session that a " ..
          "replica may hold, all statements in one request", "session"},
   portcullis_strategy =
      {"Strategy of reads and sessions; empty: the cluster's own", ""},
   portcullis_causal =
      {"Reads see all that the same connection has written and read before", false},
   portcullis_timeout =
      {"Timeout of a request of `run` in milliseconds", 60000},
}

-- What a MySQL client would be told where it is not the database that answers.
local ERRNO = {
   ABORTED = 1213,     -- ER_LOCK_DEADLOCK: nothing of the transaction stands
   OVERLOADED = 1040,  -- ER_CON_COUNT_ERROR
   CANCELLED = 1317,   -- ER_QUERY_INTERRUPTED
   UNAVAILABLE = 2003, -- CR_CONN_HOST_ERROR
   NO_NODE = 2003,
   DRAINING = 2003,
   LOST = 2013,        -- CR_SERVER_LOST
   GONE = 2013,
   DEADLINE = 3024,    -- ER_QUERY_TIMEOUT
}
local ERRNO_OTHER = 2000 -- CR_UNKNOWN_ERROR
-- Those after which sysbench connects anew; the library has done so by itself.
local ERRNO_LOST = {[2006] = true, [2011] = true, [2013] = true, [2055] = true}

-- Statements that begin and end a transaction, and the method that does.
local KINDS = {
   ["BEGIN"] = "begin",
   ["BEGIN WORK"] = "begin",
   ["START TRANSACTION"] = "begin",
   ["COMMIT"] = "commit",
   ["COMMIT WORK"] = "commit",
   ["ROLLBACK"] = "rollback",
   ["ROLLBACK WORK"] = "rollback",
}

local KIND_SIZE_MAX = 64 -- what is longer is none of them

local stock_driver = sysbench.sql.driver
local OTHER, READ, WRITE = ffi.C.SB_CNT_OTHER, ffi.C.SB_CNT_READ, ffi.C.SB_CNT_WRITE
local ERROR, RECONNECT = ffi.C.SB_CNT_ERROR, ffi.C.SB_CNT_RECONNECT
local tid = sysbench.tid
local spread_token -- of the last write of `prepare`; nil: not asked for

local brief_of, result_destroy = lib.portcullis_result_brief, lib.portcullis_result_destroy
-- What each query calls, looked up once: with many threads nobody's code is compiled soon (below).
local execute, NONE = own.pcl_sysbench_execute, sysbench.sql.error.NONE
local ROWS, FAILED = tonumber(ffi.C.PCL_SYSBENCH_ROWS), tonumber(ffi.C.PCL_SYSBENCH_FAILED)
local UNBOUND = tonumber(ffi.C.PCL_SYSBENCH_UNBOUND)

local function count(what)
   ffi.C.sb_counter_inc(tid, what)
end

local function filled(text)
   return text ~= nil and text ~= "" and text or nil
end

local function kind_of(query)
   if #query > KIND_SIZE_MAX then
      return nil
   end
   return KINDS[query:gsub("%s+", " "):gsub("^ ", ""):gsub("[ ;]+$", ""):upper()]
end

-- ---- requests ---------------------------------------------------------------------

-- A cell for the functions that want a pointer's address; destroyed with what it holds.
local function cell(ctype, destroy, pointer)
   local one = ffi.new(ctype)
   one[0] = pointer
   return ffi.gc(one, destroy)
end

local function request_keep(pointer)
   if pointer == nil then
      error("libportcullis: out of memory", 0)
   end
   local timeout_ms = DDL_TIMEOUT_MS
   if sysbench.cmdline.command == "run" then
      timeout_ms = sysbench.opt.portcullis_timeout
   end
   lib.portcullis_request_set_timeout(pointer, timeout_ms)
   if not lib.portcullis_request_set_db(pointer, filled(sysbench.opt.mysql_db)) then
      error("libportcullis: out of memory", 0)
   end
   return cell("portcullis_request *[1]", lib.portcullis_request_destroy, pointer)
end

local function result_drop(result)
   local box = ffi.new("portcullis_result *[1]")
   box[0] = result
   lib.portcullis_result_destroy(box)
end

-- ---- clients ----------------------------------------------------------------------

local function client_ping(client)
   local request = request_keep(lib.portcullis_request_new_ping())
   local result = lib.portcullis_call(client, request[0])
   local code = ffi.string(lib.portcullis_result_code_text(result))
   local message = ffi.string(lib.portcullis_result_message(result))
   result_drop(result)
   if code ~= "OK" then
      error("the cluster does not answer: " .. code .. ": " .. message, 0)
   end
end

-- A channel that has its connection, as sysbench's own are there before time runs.
local function client_open()
   local bundle = filled(sysbench.opt.portcullis_bundle) -- must live as long as options
   local options = ffi.new("portcullis_options")
   options.bundle_file = bundle
   options.causal = sysbench.opt.portcullis_causal
   options.inflight_max = math.max(sysbench.opt.threads, 16)
   local message = ffi.new("char[?]", MESSAGE_SIZE)
   local client = lib.portcullis_open_options(options, message, MESSAGE_SIZE)
   if client == nil then
      error("libportcullis: " .. ffi.string(message), 0)
   end
   local held = cell("portcullis *[1]", lib.portcullis_close, client)
   client_ping(client)
   return held
end

local function shared_count()
   return math.min(sysbench.opt.portcullis_connections, sysbench.opt.threads)
end

local function shared_name(index)
   return string.format("PORTCULLIS_SYSBENCH_%d_%d", ffi.C.getpid(), index)
end

local clients = {} -- that this state has opened: cells

local function clients_share()
   for index = 0, shared_count() - 1 do
      local held = client_open()
      clients[#clients + 1] = held
      local address = tonumber(ffi.cast("uintptr_t", held[0]))
      ffi.C.setenv(shared_name(index), string.format("%.0f", address), 1)
   end
end

local function clients_close()
   for index, held in ipairs(clients) do
      ffi.C.unsetenv(shared_name(index - 1))
      lib.portcullis_close(held)
   end
   clients = {}
end

local function client_get()
   local shared = shared_count()
   local address = shared > 0 and os.getenv(shared_name(tid % shared))
   if address then
      return ffi.cast("portcullis *", ffi.cast("uintptr_t", tonumber(address)))
   end
   clients[1] = clients[1] or client_open()
   return clients[1][0]
end

-- ---- results ----------------------------------------------------------------------

local rows = {}
rows.__index = rows

local function value_text(value)
   local kind = value.type
   if kind == ffi.C.PORTCULLIS_TYPE_NULL then
      return nil
   elseif kind == ffi.C.PORTCULLIS_TYPE_BOOL or kind == ffi.C.PORTCULLIS_TYPE_INT then
      return (tostring(value.integer):gsub("LL$", ""))
   elseif kind == ffi.C.PORTCULLIS_TYPE_UINT then
      return (tostring(value.uinteger):gsub("ULL$", ""))
   elseif kind == ffi.C.PORTCULLIS_TYPE_DOUBLE then
      return string.format("%.17g", value.real)
   end
   return ffi.string(value.data, value.size)
end

-- The next row as an array of texts, NULL as nil; nil behind the last.
function rows:fetch_row()
   self.at = self.at + 1
   return self[self.at]
end

function rows:free()
   for index = 1, #self do
      self[index] = nil
   end
   self.nrows, self.nfields, self.at = 0, 0, 0
   return true
end

-- All rows of all pages: sysbench's own driver stores them, too.
local function rows_read(result, columns)
   local self = setmetatable({nrows = 0, nfields = columns, at = 0}, rows)
   while lib.portcullis_result_next(result) do
      local row = {}
      for index = 0, columns - 1 do
         row[index + 1] = value_text(lib.portcullis_result_value(result, index))
      end
      self.nrows = self.nrows + 1
      self[self.nrows] = row
   end
   return self
end

-- ---- connections ------------------------------------------------------------------

local connection = {}
connection.__index = connection

-- Each thread's state interprets what it has not done some fifty times yet, and then makes machine
-- code of its own of it, which takes it as long as hundreds of queries.  A thousand of them do so at
-- the same time, in the midst of a run that is over before it has paid: the more there are, the later.
local function compile_later()
   local hot = math.min(math.max(sysbench.opt.threads, 28) * 2, 30000)
   require("jit.opt").start("hotloop=" .. hot)
end

-- What statement.c asks of a connection; borrowed from it.
local function own_connection(self)
   local made = ffi.new("pcl_sysbench_connection")
   made.client = self.client
   made.session = self.session
   made.failure = self.result
   made.strategy = self.strategy
   made.count = ffi.cast("void (*)(int, int)", ffi.C.sb_counter_inc)
   made.thread = tid
   made.counter_read, made.counter_write, made.counter_other = READ, WRITE, OTHER
   return made
end

local function connection_new(driver)
   compile_later()
   local self = setmetatable({driver = driver, error = NONE, sql_errno = 0}, connection)
   local mode = sysbench.opt.portcullis_transactions
   if mode ~= "session" and mode ~= "read-only" and mode ~= "txn" then
      error("--portcullis-transactions wants session, read-only or txn, not '" .. mode .. "'", 0)
   end
   self.client = client_get()
   self.gathers = mode == "txn"
   self.begin_request = request_keep(lib.portcullis_request_new_begin(mode == "read-only"))
   self.strategy = filled(sysbench.opt.portcullis_strategy)
   if not lib.portcullis_request_set_strategy(self.begin_request[0], self.strategy) then
      error("--portcullis-strategy: there is no strategy '" .. self.strategy .. "'", 0)
   end
   -- A session when it is not NULL; a transaction that is being gathered when it is not NULL.
   self.session = cell("portcullis_session *[1]", lib.portcullis_session_destroy, nil)
   self.in_session, self.in_txn = false, false -- the same, without a look into the cells
   self.txn = cell("portcullis_request *[1]", lib.portcullis_request_destroy, nil)
   self.result = cell("portcullis_result *[1]", lib.portcullis_result_destroy, nil)
   self.brief = ffi.new("portcullis_brief") -- of self.result
   self.own = own_connection(self)
   return self
end

-- Session and transaction, where there is one, are given up; what they did is rolled back.
local function connection_give_up(self)
   lib.portcullis_session_destroy(self.session)
   lib.portcullis_request_destroy(self.txn)
   self.in_session, self.in_txn = false, false
end

function connection:disconnect()
   connection_give_up(self)
   lib.portcullis_request_destroy(self.begin_request)
   self.client = nil
   return true
end

-- The library does so by itself; what is left to do is to forget what was held.
function connection:reconnect()
   connection_give_up(self)
   count(RECONNECT)
   return true
end

local function is_ignored(errno)
   for _, value in ipairs(sysbench.opt.mysql_ignore_errors or {}) do
      if value == "all" or tonumber(value) == errno then
         return true
      end
   end
   return false
end

-- Throws what sysbench throws for self.error: an event to begin anew, or the end of the run.
function connection:check_error(result, query)
   local errors = sysbench.sql.error
   if result ~= nil or self.error == errors.NONE then
      return result
   end
   local told = {
      connection = self,
      query = query,
      sql_errno = self.sql_errno,
      sql_state = self.sql_state,
      sql_errmsg = self.sql_errmsg,
   }
   local hook = sysbench.hooks.sql_error_ignorable
   if self.error == errors.IGNORABLE or (type(hook) == "function" and hook(told)) then
      told.errcode = sysbench.error.RESTART_EVENT
      error(told, 0)
   end
   error(string.format("SQL error, errno = %d, state = '%s': %s, of '%s'", self.sql_errno,
                       self.sql_state, self.sql_errmsg, query), 0)
end

-- self.result is a failure: notes it, gives up session and transaction, and throws.  A refusal that
-- says when to come again is waited for, if the event is to begin anew.
local function connection_fail(self, query)
   local result = self.result[0]
   local code = ffi.string(lib.portcullis_result_code_text(result))
   local errno = tonumber(lib.portcullis_result_errno(result))
   local state = ffi.string(lib.portcullis_result_sqlstate(result))
   local wait_ms = lib.portcullis_result_retry_after(result)
   self.sql_errno = errno ~= 0 and errno or ERRNO[code] or ERRNO_OTHER
   self.sql_state = filled(state) or "HY000"
   self.sql_errmsg = string.format("%s of the %s: %s", code,
                                   ffi.string(lib.portcullis_result_hop(result)),
                                   ffi.string(lib.portcullis_result_message(result)))
   result_destroy(self.result)
   connection_give_up(self)
   if is_ignored(self.sql_errno) then
      self.error = sysbench.sql.error.IGNORABLE
      count(ERRNO_LOST[self.sql_errno] and RECONNECT or ERROR)
      if wait_ms > 0 then
         ffi.C.usleep(wait_ms * 1000)
      end
   else
      self.error = sysbench.sql.error.FATAL
      count(ERROR)
   end
   return self:check_error(nil, query)
end

local function connection_send(self, request)
   self.error = NONE
   local in_session = self.in_session
   if self.strategy then
      -- A session has that of its begin.
      lib.portcullis_request_set_strategy(request, not in_session and self.strategy or nil)
   end
   if in_session then
      self.result[0] = lib.portcullis_session_call(self.session[0], request)
   else
      self.result[0] = lib.portcullis_call(self.client, request)
   end
   brief_of(self.result[0], self.brief)
   return self.brief.code == 0
end

-- Counts a result as sysbench's MySQL driver would.
local function result_count(brief)
   if brief.column_count > 0 then
      count(READ)
   else
      count(brief.affected > 0 and WRITE or OTHER)
   end
end

local function token_note(result)
   local size = ffi.new("size_t[1]")
   local token = lib.portcullis_result_token(result, size)
   if size[0] > 0 then
      spread_token = ffi.string(token, size[0])
   end
end

-- self.result is a success: its rows, where it has some.
local function connection_take(self, query)
   local brief, got = self.brief, nil
   if brief.column_count > 0 then
      got = rows_read(self.result[0], brief.column_count)
      -- A page may have been lost on the way.
      brief_of(self.result[0], brief)
      if brief.code ~= 0 then
         return connection_fail(self, query)
      end
   elseif spread_token then
      token_note(self.result[0])
   end
   result_count(brief)
   result_destroy(self.result)
   return got
end

-- ---- transactions -----------------------------------------------------------------

function connection:begin(query)
   -- As MySQL does: what is open is committed.
   if self.in_session or self.in_txn then
      self:commit(query)
   end
   self.error = NONE
   if self.gathers then
      local txn = request_keep(lib.portcullis_request_new_txn())
      self.txn[0], txn[0] = txn[0], nil
      self.gathered = 0
      self.in_txn = true
   else
      self.session[0] = lib.portcullis_session_begin(self.client, self.begin_request[0],
                                                     self.result)
      if self.session[0] == nil then
         return connection_fail(self, query)
      end
      self.in_session = true
      result_destroy(self.result)
   end
   count(OTHER)
end

local function txn_commit(self, query)
   if self.gathered > 0 then
      if not connection_send(self, self.txn[0]) then
         return connection_fail(self, query)
      end
      local result = self.result[0]
      for index = 0, lib.portcullis_result_statement_count(result) - 1 do
         brief_of(lib.portcullis_result_statement(result, index), self.brief)
         result_count(self.brief)
      end
      result_destroy(self.result)
   end
   lib.portcullis_request_destroy(self.txn)
   self.in_txn = false
   count(OTHER)
end

function connection:commit(query)
   if self.in_txn then
      return txn_commit(self, query)
   end
   if self.in_session then
      self.error = NONE
      self.result[0] = lib.portcullis_session_commit(self.session[0])
      if lib.portcullis_result_code(self.result[0]) ~= 0 then
         return connection_fail(self, query)
      end
      result_destroy(self.result)
      lib.portcullis_session_destroy(self.session)
      self.in_session = false
   end
   count(OTHER)
end

function connection:rollback(query)
   if self.in_session then
      self.error = NONE
      self.result[0] = lib.portcullis_session_rollback(self.session[0])
      if lib.portcullis_result_code(self.result[0]) ~= 0 then
         return connection_fail(self, query)
      end
      result_destroy(self.result)
   end
   connection_give_up(self)
   count(OTHER)
end

local function txn_gather(self, query)
   if not lib.portcullis_request_add_statement_sized(self.txn[0], query, #query) then
      error("a transaction has more statements than one request holds", 0)
   end
   self.gathered = self.gathered + 1
end

local function must_bind(bound)
   if not bound then
      error("libportcullis: a request's parameters are too many or too long", 0)
   end
end

-- ---- statements -------------------------------------------------------------------

-- A parameter as sysbench's own has them: set, set_rand_str; cell is what statement.c reads, literal
-- says how it is written in SQL.
local function param_new(class, made)
   made.cell = ffi.new("pcl_sysbench_param")
   return setmetatable(made, class)
end

-- member: where its value is in the cell.
local number_param = {}
number_param.__index = number_param

function number_param:set(value)
   if value == nil or self.value == nil then -- whether it is NULL changes seldom
      self.cell.type = value ~= nil and self.cell_type or ffi.C.PORTCULLIS_TYPE_NULL
   end
   self.value = value
   if value ~= nil then
      self.cell[self.member] = value
   end
end

function number_param:set_rand_str()
   error("Unsupported argument type", 2)
end

function number_param:literal()
   return self.value == nil and "NULL" or string.format(self.format, self.value)
end

local text_param = {}
text_param.__index = text_param

local function text_size(self, size)
   self.cell.type, self.cell.size = ffi.C.PORTCULLIS_TYPE_TEXT, size
end

function text_param:set(value)
   if value == nil then
      self.cell.type = ffi.C.PORTCULLIS_TYPE_NULL
      return
   end
   local size = math.min(#value, self.size_max)
   ffi.copy(self.buffer, value, size)
   text_size(self, size)
end

function text_param:literal()
   if self.cell.type == ffi.C.PORTCULLIS_TYPE_NULL then
      return "NULL"
   end
   return "'" .. ffi.string(self.buffer, self.cell.size):gsub("['\\]", "\\%0") .. "'"
end

function text_param:set_rand_str(format)
   -- It writes as many octets as the format has.
   if #format > self.size_max then
      self:set(sysbench.rand.string(format))
      return
   end
   ffi.C.sb_rand_str(format, self.buffer)
   text_size(self, #format)
end

-- What a prepared statement gives: how many rows, and none of them, as in sysbench.
local count_only = {}

function count_only.__index(self, key)
   local brief = rawget(self, "own").brief
   return key == "nrows" and brief.row_count or key == "nfields" and brief.column_count or rows[key]
end

local statement = {}
statement.__index = statement

-- What statement.c runs; it borrows from made.
local function own_statement(made)
   local con = made.connection
   local one = ffi.new("pcl_sysbench_statement")
   one.connection = con.own
   one.request = made.request[0]
   made.own = one
   made.rows = setmetatable({own = one}, count_only)
end

function connection:prepare(query)
   local kind = kind_of(query)
   local made = {connection = self, query = query, kind = kind, params = {}}
   -- `prepare` keeps the token of each write, which statement.c does not look at.
   made.inline = sysbench.opt.db_ps_mode == "disable" or spread_token ~= nil
   if kind == nil and not made.inline then
      made.request = request_keep(lib.portcullis_request_new_sized(query, #query))
      own_statement(made)
   end
   return setmetatable(made, statement)
end

function statement:bind_create(btype, size_max)
   local t = sysbench.sql.type
   if btype == t.TINYINT or btype == t.SMALLINT or btype == t.INT or btype == t.BIGINT then
      return param_new(number_param, {type = t.BIGINT, member = "integer", format = "%d",
                                      cell_type = ffi.C.PORTCULLIS_TYPE_INT})
   elseif btype == t.FLOAT or btype == t.DOUBLE then
      return param_new(number_param, {type = t.DOUBLE, member = "real", format = "%.17g",
                                      cell_type = ffi.C.PORTCULLIS_TYPE_DOUBLE})
   elseif btype == t.CHAR or btype == t.VARCHAR then
      local made = param_new(text_param, {type = t.VARCHAR, size_max = size_max,
                                          buffer = ffi.new("char[?]", size_max)})
      made.cell.text = made.buffer
      return made
   end
   error("Unsupported argument type: " .. tostring(btype), 2)
end

function statement:bind_param(...)
   self.params = {...}
   self.cells = ffi.new("const pcl_sysbench_param *[?]", #self.params)
   for index = 1, #self.params do
      self.cells[index - 1] = self.params[index].cell
   end
   if self.own then
      self.own.params, self.own.param_count = self.cells, #self.params
   end
end

-- The text with its parameters in their places.
local function statement_inline(self)
   local index = 0
   return (self.query:gsub("%?", function()
      index = index + 1
      return self.params[index] and self.params[index]:literal()
   end))
end

function statement:execute()
   local con = self.connection
   if self.kind ~= nil then
      return con[self.kind](con, self.query)
   elseif self.inline then
      return con:query(statement_inline(self))
   elseif con.in_txn then
      txn_gather(con, self.query)
      return must_bind(own.pcl_sysbench_bind(self.own, con.txn[0]))
   end
   con.error = NONE
   local outcome = execute(self.own)
   if outcome == ROWS then
      return self.rows
   elseif outcome == FAILED then
      return connection_fail(con, self.query)
   end
   must_bind(outcome ~= UNBOUND)
end

function statement:close()
   if self.request ~= nil then
      lib.portcullis_request_destroy(self.request)
      self.own.request = nil
   end
   return 0
end

-- ---- statements without preparation -------------------------------------------------

-- Executable comments, as in sysbench's CREATE TABLE, are refused by a cluster
-- (docs/sql.md): what stands in them is what a MySQL server would have run.
local function comments_open(query)
   if not query:find("/*!", 1, true) then
      return query
   end
   return (query:gsub("/%*!%d*(.-)%*/", "%1"))
end

function connection:query(query)
   query = comments_open(query)
   local kind = kind_of(query)
   if kind ~= nil then
      return self[kind](self, query)
   end
   if self.in_txn then
      return txn_gather(self, query)
   end
   local request = request_keep(lib.portcullis_request_new_sized(query, #query))
   local sent = connection_send(self, request[0])
   lib.portcullis_request_destroy(request)
   if not sent then
      return connection_fail(self, query)
   end
   return connection_take(self, query)
end

-- The values of the first row; nil: there is none.
function connection:query_row(query)
   local got = self:query(query)
   if got == nil or got.nrows == 0 then
      return nil
   end
   return unpack(got:fetch_row(), 1, got.nfields)
end

function connection:bulk_insert_init(query)
   self.bulk = {query}
   self.bulk_size = #query
   return true
end

function connection:bulk_insert_next(values)
   if #self.bulk > 1 and self.bulk_size + #values + 1 > BULK_SIZE_MAX then
      local head = self.bulk[1]
      self:bulk_insert_done()
      self:bulk_insert_init(head)
   end
   self.bulk[#self.bulk + 1] = (#self.bulk > 1 and "," or "") .. values
   self.bulk_size = self.bulk_size + #values + 1
   return true
end

function connection:bulk_insert_done()
   if self.bulk ~= nil and #self.bulk > 1 then
      self:query(table.concat(self.bulk))
   end
   self.bulk = nil
   return true
end

-- ---- the driver -------------------------------------------------------------------

local driver = {}
driver.__index = driver

function driver:connect()
   return connection_new(self)
end

-- The SQL of the scripts is MySQL's.
function driver:name()
   return "mysql"
end

-- sysbench's own driver is made, too: it reads its options, among them --mysql-db and
-- --mysql-ignore-errors, and turns on the statistics of queries.  It connects to nothing.
local function driver_new(name)
   local stock = stock_driver(name)
   if stock:name() ~= "mysql" then
      error("a cluster is MySQL: leave --db-driver away", 0)
   end
   return setmetatable({stock = stock}, driver)
end

-- ---- prepare ----------------------------------------------------------------------

-- Names of the replicas that answer, from the cluster's status (docs/rfc/1-client-protocol.md).
local function replicas_up(client)
   local request = request_keep(lib.portcullis_request_new_status())
   local result = lib.portcullis_call(client, request[0])
   local status = ffi.string(lib.portcullis_result_status(result))
   result_drop(result)
   local names, count_up = {}, 0
   for node in (status:match('"nodes":(%b[])') or ""):gmatch("%b{}") do
      if node:find('"role":"replica"', 1, true) and node:find('"state":"up"', 1, true) then
         names[node:match('"name":"([^"]*)"')] = true
         count_up = count_up + 1
      end
   end
   return names, count_up
end

-- A run right after `prepare` reads from replicas: waits until each that answers has the last
-- write, by reading after it until every one of them was the node that gave the answer.
local function spread_wait(client)
   local missing, count_missing = replicas_up(client)
   local until_s = os.time() + SPREAD_WAIT_S
   local request = request_keep(lib.portcullis_request_new_sized("SELECT 1", 8))
   lib.portcullis_request_set_strategy(request[0], "round-robin")
   if not lib.portcullis_request_set_consistency_after(request[0], spread_token, #spread_token) then
      error("libportcullis: the token of the last write is none", 0)
   end
   while count_missing > 0 do
      local result = lib.portcullis_call(client, request[0])
      local name = ffi.string(lib.portcullis_result_route(result)):match('"node":"([^"]*)"')
      result_drop(result)
      if missing[name] then
         missing[name] = nil
         count_missing = count_missing - 1
      elseif os.time() > until_s then
         print(string.format("%d replicas do not have all of it yet", count_missing))
         return
      else
         ffi.C.usleep(5000)
      end
   end
end

local function prepare_wrap(stock_prepare)
   return function()
      spread_token = "" -- from here on the tokens of writes are kept
      stock_prepare()
      if spread_token ~= "" then
         spread_wait(client_get())
      end
   end
end

local function prewarm_refuse()
   error("prewarm is about one server's caches: bench/sysbench/nodes.sh does it at each node", 0)
end

-- ---- what replaces sysbench's own ---------------------------------------------------

local portcullis = {}

-- To be called by a script that has set its options and functions (oltp_common.lua here does).
function portcullis.take_over()
   for name, definition in pairs(OPTIONS) do
      sysbench.cmdline.options[name] = definition
   end
   sysbench.sql.driver = driver_new
   local stock_init, stock_done = init, done
   function init()
      if stock_init then
         stock_init()
      end
      clients_share()
   end
   function done()
      if stock_done then
         stock_done()
      end
      clients_close()
   end
   if cmd_prepare then
      cmd_prepare = prepare_wrap(cmd_prepare)
      sysbench.cmdline.commands.prepare = {cmd_prepare, sysbench.cmdline.PARALLEL_COMMAND}
      sysbench.cmdline.commands.prewarm = {prewarm_refuse}
   end
end

return portcullis
