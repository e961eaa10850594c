#include "cli/mpi_transport.h"

#include "core/errors.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>

namespace convscope {
namespace {

/// Beside the program or in its library folder: the program's run path says where.
constexpr const char* module_file = "convscope_mpi.so";

/// What launchers set: Open MPI's mpirun; srun and others by PMIx or PMI.
constexpr const char* size_variables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
constexpr const char* rank_variables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};

/// The number of ranks that the launcher tells; 0 when it does not.
int announced_size() {
  for (const char* name : size_variables) {
    if (const char* value = std::getenv(name)) return std::atoi(value);
  }
  return 0;
}

[[noreturn]] void refuse(const std::string& why) {
  throw convbasis::Error(
      fmt::format("started by mpirun, but MPI cannot be used: {}; start it without, or split the work by --shard", why));
}

}  // namespace

bool started_by_mpi() {
  for (const char* name : rank_variables) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

std::unique_ptr<RankTransport> open_mpi_transport() {
  if (!started_by_mpi()) return nullptr;
  // Open MPI's own modules look for its symbols among those of the process.
  void* module = dlopen(module_file, RTLD_NOW | RTLD_GLOBAL);
  if (module == nullptr && announced_size() == 1) return nullptr;
  if (module == nullptr) refuse(fmt::format("this build has no module for it ({})", dlerror()));
  // Never closed: MPI leaves handlers behind.
  const auto make = reinterpret_cast<MpiModuleEntry>(dlsym(module, mpi_module_entry));
  if (make == nullptr) refuse(fmt::format("{} is of another version", module_file));
  std::string problem;
  std::unique_ptr<RankTransport> transport(make(problem));
  if (!transport) refuse(problem);
  if (transport->size() == 1 && announced_size() > 1) {
    refuse(
        "the launcher is not that of the MPI which the module was built with, so every process would take itself for the only "
        "one");
  }
  return transport;
}

}  // namespace convscope
