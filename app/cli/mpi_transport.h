/// \file
/// MPI, when mpirun started the program. What needs MPI's library is a module that is loaded only then, so that the program
/// itself starts on machines without it.
#pragma once

#include "cli/rank_transport.h"

#include <memory>

namespace convscope {

/// Whether a launcher such as mpirun or srun says that it started this process as one of several ranks.
bool started_by_mpi();

/// The ranks that this process is one of; null when no launcher started it. Call it once, after signals are blocked. Throws Error
/// when one did but this build has no MPI, or the launcher is of another MPI.
std::unique_ptr<RankTransport> open_mpi_transport();

/// What the module has under the name `mpi_module_entry`: makes the transport, or says in `problem` why not.
using MpiModuleEntry = RankTransport* (*)(std::string& problem);
inline constexpr const char* mpi_module_entry = "convscope_mpi_transport";

}  // namespace convscope
