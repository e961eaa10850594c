/// \file
/// The form of the one-layer training problem.
#pragma once

#include "state/training_request.h"

namespace convscope {

/// Draws the form over the width that there is, and changes `request` as the user does. What is being typed may be out of range;
/// when no field is active it is cut to what can be computed. Window thread only.
void draw_training_setup(TrainingRequest& request);

}  // namespace convscope
