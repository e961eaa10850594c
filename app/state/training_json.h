/// \file
/// A training experiment in a session file.
#pragma once

#include "state/json_fields.h"
#include "state/training_request.h"

namespace convscope {

nlohmann::json training_json(const TrainingRequest& request);

/// Reads what training_json writes, over the defaults. Throws FileError, as JsonFields do. What does not fit together is cut
/// (clamped()).
TrainingRequest read_training(const JsonFields& fields);

}  // namespace convscope
