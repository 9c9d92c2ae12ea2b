-- oltp_common.lua - stands before sysbench's file of this name on the path, so that its scripts run
-- through a cluster as they are: each of them asks for "oltp_common" first.
--
-- The stock file is run as it is; then the options of the driver are added, and what opens
-- connections is led to the cluster (portcullis.lua).

local own = debug.getinfo(1, "S").source:gsub("^@", "")

local function stock_file()
   for template in package.path:gmatch("[^;]+") do
      local name = template:gsub("%?", "oltp_common")
      local file = name ~= own and io.open(name)
      if file then
         file:close()
         return name
      end
   end
   error("sysbench's own oltp_common.lua is not on the path: " .. package.path, 0)
end

dofile(stock_file())
require("portcullis").take_over()
