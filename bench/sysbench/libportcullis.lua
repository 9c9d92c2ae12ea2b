-- libportcullis.lua - the part of client/portcullis.h that the sysbench driver calls, for LuaJIT,
-- and the driver's own C, statement.h.
--
-- Returns the two loaded libraries: `lib.portcullis_call(...)`, `own.pcl_sysbench_execute(...)`.
-- PORTCULLIS_LIBRARY and PORTCULLIS_SYSBENCH_LIBRARY name their files; run.sh sets them.  What is
-- declared here is what the headers declare, word for word but for PORTCULLIS_API and the like:
-- tests/unit/test_sysbench_api.py compares them.

local ffi = require("ffi")

ffi.cdef [[
typedef struct portcullis portcullis;
typedef struct portcullis_request portcullis_request;
typedef struct portcullis_result portcullis_result;
typedef struct portcullis_session portcullis_session;

typedef struct portcullis_gatekeeper {
    const char *endpoint;
    const char *public_key;
} portcullis_gatekeeper;

typedef struct portcullis_options {
    const char *bundle_file;
    const portcullis_gatekeeper *gatekeepers;
    size_t gatekeeper_count;
    const char *public_key;
    const char *secret_key;
    bool insecure;
    const char *broker_public_key;
    uint32_t timeout_ms;
    uint32_t connect_timeout_ms;
    uint32_t inflight_max;
    bool causal;
} portcullis_options;

typedef enum portcullis_type {
    PORTCULLIS_TYPE_NULL = 0,
    PORTCULLIS_TYPE_BOOL,
    PORTCULLIS_TYPE_INT,
    PORTCULLIS_TYPE_UINT,
    PORTCULLIS_TYPE_DOUBLE,
    PORTCULLIS_TYPE_TEXT,
    PORTCULLIS_TYPE_BLOB,
} portcullis_type;

typedef struct portcullis_value {
    portcullis_type type;
    int64_t integer;
    uint64_t uinteger;
    double real;
    const char *data;
    size_t size;
} portcullis_value;

typedef struct portcullis_brief {
    int code;
    uint32_t column_count;
    uint32_t row_count;
    bool has_more;
    uint64_t affected;
} portcullis_brief;

portcullis *portcullis_open_options(const portcullis_options *options, char *error,
                                    size_t error_size);
void portcullis_close(portcullis **self_p);

portcullis_request *portcullis_request_new_sized(const char *sql, size_t size);
portcullis_request *portcullis_request_new_ping(void);
portcullis_request *portcullis_request_new_status(void);
portcullis_request *portcullis_request_new_txn(void);
portcullis_request *portcullis_request_new_begin(bool read_only);
void portcullis_request_destroy(portcullis_request **self_p);
bool portcullis_request_add_statement_sized(portcullis_request *self, const char *sql,
                                            size_t size);
bool portcullis_request_set_db(portcullis_request *self, const char *db);
bool portcullis_request_set_strategy(portcullis_request *self, const char *strategy);
bool portcullis_request_set_consistency_after(portcullis_request *self, const void *token,
                                              size_t size);
void portcullis_request_set_timeout(portcullis_request *self, uint32_t timeout_ms);

portcullis_result *portcullis_call(portcullis *self, const portcullis_request *request);
portcullis_session *portcullis_session_begin(portcullis *client, const portcullis_request *begin,
                                             portcullis_result **out_result);
void portcullis_session_destroy(portcullis_session **self_p);
portcullis_result *portcullis_session_call(portcullis_session *self,
                                           const portcullis_request *request);
portcullis_result *portcullis_session_commit(portcullis_session *self);
portcullis_result *portcullis_session_rollback(portcullis_session *self);

void portcullis_result_destroy(portcullis_result **self_p);
const char *portcullis_result_code_text(const portcullis_result *self);
const char *portcullis_result_message(const portcullis_result *self);
uint32_t portcullis_result_retry_after(const portcullis_result *self);
uint32_t portcullis_result_errno(const portcullis_result *self);
const char *portcullis_result_sqlstate(const portcullis_result *self);
const char *portcullis_result_hop(const portcullis_result *self);
const char *portcullis_result_token(const portcullis_result *self, size_t *out_size);
const char *portcullis_result_route(portcullis_result *self);
const char *portcullis_result_status(portcullis_result *self);
uint32_t portcullis_result_statement_count(const portcullis_result *self);
portcullis_result *portcullis_result_statement(portcullis_result *self, uint32_t index);
bool portcullis_result_next(portcullis_result *self);
const portcullis_value *portcullis_result_value(const portcullis_result *self, uint32_t index);
void portcullis_result_brief(const portcullis_result *self, portcullis_brief *out_brief);
]]

-- portcullis_code is an enum; an int says the same to the calling convention, and its numbers
-- never change.
ffi.cdef [[
int portcullis_result_code(const portcullis_result *self);
]]

ffi.cdef [[
typedef struct pcl_sysbench_param {
    portcullis_type type;
    int64_t integer;
    double real;
    const char *text;
    size_t size;
} pcl_sysbench_param;

typedef struct pcl_sysbench_connection {
    portcullis *client;
    portcullis_session **session;
    portcullis_result **failure;
    const char *strategy;
    void (*count)(int thread, int counter);
    int thread;
    int counter_read, counter_write, counter_other;
} pcl_sysbench_connection;

typedef struct pcl_sysbench_statement {
    pcl_sysbench_connection *connection;
    portcullis_request *request;
    const pcl_sysbench_param **params;
    uint32_t param_count;
    portcullis_brief brief;
} pcl_sysbench_statement;

bool pcl_sysbench_bind(const pcl_sysbench_statement *self, portcullis_request *request);

typedef enum pcl_sysbench_outcome {
    PCL_SYSBENCH_ROWS = 0,
    PCL_SYSBENCH_DONE,
    PCL_SYSBENCH_FAILED,
    PCL_SYSBENCH_UNBOUND,
} pcl_sysbench_outcome;

int pcl_sysbench_execute(pcl_sysbench_statement *self);
]]

local function load(variable, name)
   local file = os.getenv(variable)
   if file == nil or file == "" then
      file = name
   end
   local loaded, library = pcall(ffi.load, file)
   if not loaded then
      error(name .. " is not to be had: " .. tostring(library) .. "; " .. variable ..
               " names its file", 0)
   end
   return library
end

-- In this order: the second is linked with the first, and takes what is loaded.
local lib = load("PORTCULLIS_LIBRARY", "libportcullis.so.0")
return {lib = lib, own = load("PORTCULLIS_SYSBENCH_LIBRARY", "libportcullis-sysbench.so")}
