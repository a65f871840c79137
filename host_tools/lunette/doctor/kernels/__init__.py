"""Every viper kernel of the firmware, called on the glasses and compared with what it must give."""
